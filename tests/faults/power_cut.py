"""A machine whose power can be cut: runs a command, watches what it writes, and can take back what was never synced.

    python -m tests.faults.power_cut ROOT ATTIC COMMAND ...

It obeys lines on standard input: `cut` ends every process there is and takes back all that was not synced below ROOT,
`cut SEED` a part of it by chance; `lie` makes the disk from now on say "synced" and mean nothing by it. After a cut it
prints a line of JSON, what was taken back, and ends. The command's own output comes before that.

The calls are seen before they happen, so a sync counts a moment before it is heard of. Such a moment could be that of
the cut as well.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import random
import resource
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.faults.power_cut_calls import Listener, in_child
from tests.faults.power_cut_disk import Disk
from tests.faults.power_cut_notes import SYNCS, note

_PR_SET_CHILD_SUBREAPER = 36


class Machine:
    """One command and everything it starts."""

    def __init__(self, disk: Disk, command: Sequence[str]) -> None:
        self.disk = disk
        self.lies = False
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # what loses its parent becomes ours
        ours, childs = socket.socketpair()
        self._first = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=lambda: in_child(childs))
        childs.close()
        with ours:
            self.listener = Listener(ours)

    def run(self, orders: int) -> random.Random | None:
        """Until the order to cut the power; with what chance."""
        waiting = select.poll()
        waiting.register(self.listener, select.POLLIN)
        waiting.register(orders, select.POLLIN)
        while True:
            ready = dict(waiting.poll())
            if orders in ready:
                words = os.read(orders, 100).decode().split()
                if not words:  # whoever gave orders is gone
                    self.end()
                    sys.exit(1)
                if words[0] == "cut":
                    return random.Random(int(words[1])) if words[1:] else None
                self.lies = True
            elif ready.get(self.listener.fileno(), 0) & select.POLLIN:
                self._look()
            else:  # all of them have ended
                waiting.unregister(self.listener)

    def _look(self) -> None:
        if (stopped := self.listener.next()) is None:
            return
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # ended, or refers to nothing: it will hear so
            if not (self.lies and stopped.call in SYNCS):
                note(self.disk, stopped)
        self.listener.go_on(stopped)

    def end(self) -> None:
        """Every process at once, and nothing that one of them is about to do is done."""
        while children := _children():
            for child in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(-1, 0)


def _children() -> list[int]:
    """And their children: those are not ours yet, and must not live until they are."""
    found: list[int] = []
    left = [os.getpid()]
    while left:
        pid = left.pop()
        for task in _tasks(pid):
            with contextlib.suppress(OSError):
                children = [int(child) for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
                found += children
                left += children
    return found


def _tasks(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")
    except FileNotFoundError:
        return []


def main() -> int:
    root, attic, *command = sys.argv[1:]
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 65_536), most))
    disk = Disk(Path(root), Path(attic))
    machine = Machine(disk, command)
    try:
        chance = machine.run(sys.stdin.fileno())
    finally:
        machine.end()
    print(json.dumps(disk.cut(chance)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
