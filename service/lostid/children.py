"""The supervisor's children, seen from inside: `python -m lostid _worker --fd 7 --gate 8`.

A child loads its code at once and then waits at the gate, so that all of them load while the engines start. One byte
from the gate means go. Its end means that the supervisor is gone, and then so is the child. No gate: it goes at once.
"""

import argparse
import gc
import importlib
import os
import sys
from typing import Protocol

from lostid import stderr
from lostid.settings import Settings


class Role(Protocol):
    def __call__(self, settings: Settings, fd: int | None) -> int:
        """Run until SIGTERM, or to the end of a task. Returns the exit code."""


ROLES = {
    "_prepare": "lostid.prepare:run",
    "_replica": "lostid.replication.replica:run",
    "_relay": "lostid.replication.relay:run",
    "_sweep": "lostid.replication.sweeper:run",
    "_log": "lostid.log.sequencer:run",
    "_worker": "lostid.worker:run",
    "_seed": "lostid.commands.seed:run",
}


def run_child(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="lostid", description="For the supervisor only.")
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("--fd", type=int, help="the listening socket")
    parser.add_argument("--gate", type=int)
    asked, _ = parser.parse_known_args(argv)  # the rest is the role's own affair

    stderr.never_wait()
    # What is loaded stays. Looking through it for garbage is a third of a worker's start, and a cost ever after.
    gc.disable()
    module, name = ROLES[asked.role].split(":")
    run: Role = getattr(importlib.import_module(module), name)
    settings = Settings()
    gc.freeze()
    gc.enable()
    if asked.gate is not None:
        if not os.read(asked.gate, 1):
            sys.exit(1)
        os.close(asked.gate)
    sys.exit(run(settings, asked.fd))
