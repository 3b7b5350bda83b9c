"""Replicas without a start of Python for each: `python -m tests.replication.nursery` has loaded what they run, and
makes them as copies of itself, as the supervisor does.

It hears and says lines of JSON: `{"argv": ["lostid", "_replica"], "environment": {...}}` is answered by the number of a
process, that number by the exit code, once there is one. All of them end with it, and it ends with its input.
"""

import json
import os
import runpy
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from lostid.forking import Forked, fork
from lostid.replication import rebuilder, rebuilding, replica

LOADED = (replica, rebuilding, rebuilder)


class Nursery:
    """The process, seen by its user. `close` ends it and all that it made."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        argv = [sys.executable, "-m", __name__]
        self._process = subprocess.Popen(argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def start(self, argv: Sequence[str], environment: Mapping[str, str]) -> "Child":
        """`argv`: a module and its arguments."""
        return Child(self, self.ask({"argv": argv, "environment": dict(environment)}))

    def ask(self, line: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(line).encode() + b"\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


class Child:
    """One replica. As a `subprocess.Popen`, of which it has what is used here."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self.pid = pid
        self._nursery = nursery
        self._alive = os.pidfd_open(pid)  # not reaped before we ask for its exit code: the number is its own
        self._code: int | None = None

    def poll(self) -> int | None:
        return self._look(0)

    def wait(self, seconds: float | None = None) -> int:
        code = self._look(seconds)
        assert code is not None, f"it goes on after {seconds} s"
        return code

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _look(self, seconds: float | None) -> int | None:
        if self._code is None and self._ended(seconds):
            self._code = self._nursery.ask(self.pid)
            os.close(self._alive)
        return self._code

    def _ended(self, seconds: float | None) -> bool:
        poll = select.poll()
        poll.register(self._alive, select.POLLIN)
        return bool(poll.poll(None if seconds is None else 1000 * seconds))


def begin(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(2, 1)  # the other is for the user's ears
    sys.argv[:] = argv
    runpy.run_module(argv[0], run_name="__main__", alter_sys=True)
    return 0


def main() -> None:
    children: dict[int, Forked] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        if isinstance(asked, int):
            print(children.pop(asked).wait(), flush=True)
            continue
        run = partial(begin, asked["argv"], asked["environment"])
        child = fork(run, f"lostid {asked['argv'][-1]}", death=signal.SIGKILL, output=None)
        children[child.pid] = child
        print(child.pid, flush=True)


if __name__ == "__main__":
    main()
