"""The supervisor's children, seen from inside: what each of them is to do, and how it begins.

The supervisor loads the code of all of them once, and makes them as copies of itself (`forking`): a worker's code takes
a second to load, and a copy takes some milliseconds, at a start as well as after a crash. A task that runs once is a
program of its own, `python -m lostid _seed ...`; so can the others be, for who starts one alone.
"""

import argparse
import gc
import importlib
import os
import sys
from collections.abc import Mapping
from typing import Protocol

from lostid import stderr
from lostid.settings import Settings


class Role(Protocol):
    def __call__(self, settings: Settings, fd: int | None) -> int:
        """Run until SIGTERM, or to the end of a task. Returns the exit code."""


PREPARE = "_prepare"
WORKER = "_worker"
OTHERS = ("_replica", "_relay", "_sweep", "_log")
ROLES = {
    PREPARE: "lostid.prepare:run",
    "_replica": "lostid.replication.replica:run",
    "_relay": "lostid.replication.relay:run",
    "_sweep": "lostid.replication.sweeper:run",
    "_log": "lostid.log.sequencer:run",
    WORKER: "lostid.worker:run",
    "_seed": "lostid.commands.seed:run",
}


def load() -> None:
    """The code of all that `begin` may begin."""
    # It would start threads as it is loaded, for sums that nobody does here, and only one thread may fork.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # What is loaded stays. Looking through it for garbage is a third of the time that loading takes, and a cost ever
    # after: whoever looks writes to memory that parent and children share as long as nobody writes.
    gc.disable()
    for name in (PREPARE, WORKER, *OTHERS):
        _role(name)
    gc.freeze()
    gc.enable()


def begin(name: str, environment: Mapping[str, str], fd: int | None) -> int:
    """Be this child, in a copy of the supervisor. `fd`: the listening socket. Returns the exit code."""
    os.environ.clear()
    os.environ.update(environment)
    said = stderr.never_wait()
    try:
        return _role(name)(Settings(), fd)
    finally:
        said.drain(stderr.LAST_WORDS_S)


def run_child(argv: list[str]) -> None:
    """Be this child, in a process of its own."""
    parser = argparse.ArgumentParser(prog="lostid", description="For the supervisor only.")
    parser.add_argument("role", choices=ROLES)
    asked, _ = parser.parse_known_args(argv)  # the rest is the role's own affair
    stderr.never_wait()
    sys.exit(_role(asked.role)(Settings(), None))


def _role(name: str) -> Role:
    module, function = ROLES[name].split(":")
    role: Role = getattr(importlib.import_module(module), function)
    return role
