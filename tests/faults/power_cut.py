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
import stat
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.faults.power_cut_calls import Call, Listener, Stopped, in_child
from tests.faults.power_cut_disk import Disk

_PR_SET_CHILD_SUBREAPER = 36
_AT_FDCWD = -100
_PROT_WRITE = 2
_SQLITE_INDEX = "-shm"
"""SQLite's shared index is mapped, never synced, and made anew after a crash."""


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
            self._note(stopped)
        self.listener.go_on(stopped)

    def _note(self, stopped: Stopped) -> None:
        note = _NOTES[stopped.call]
        if note in (_sync, _sync_all) and self.lies:
            return
        note(self.disk, stopped)

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


# -- what a call is about to do ----------------------------------------------------------------------------------------


def _file(disk: Disk, stopped: Stopped, place: int) -> tuple[str, str] | None:
    """A descriptor: the way to its file, and where that lies. None where it is none of ours."""
    way = f"/proc/{stopped.thread}/fd/{stopped.number(place)}"
    path = os.readlink(way)
    if not disk.has(path):
        return None
    mode = os.stat(way).st_mode
    return (way, path) if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else None


def _path(stopped: Stopped, text: bytes, directory: int = _AT_FDCWD) -> str:
    """Where a path leads, as seen by the thread; a link at its end is not followed."""
    proc = f"/proc/{stopped.thread}"
    path = os.fsdecode(text)
    if path.startswith("/proc/self/"):
        path = proc + path.removeprefix("/proc/self")
    start = os.readlink(f"{proc}/cwd" if directory == _AT_FDCWD else f"{proc}/fd/{directory}")
    parent, name = os.path.split(os.path.join(start, path).rstrip("/"))
    return os.path.join(os.path.realpath(parent), name)


def _wrote(disk: Disk, stopped: Stopped, place: int, size: int, offset: int | None) -> None:
    if (file := _file(disk, stopped, place)) is None:
        return
    if offset is None:
        told = dict(
            line.split(":\t") for line in Path(file[0].replace("/fd/", "/fdinfo/")).read_text().splitlines()[:2]
        )
        appends = int(told["flags"], 8) & os.O_APPEND
        offset = os.stat(file[0]).st_size if appends else int(told["pos"])
    disk.write(file[0], offset, offset + size)


def _total(stopped: Stopped) -> int:
    """Of the buffers of a writev."""
    vectors = stopped.memory(stopped.arguments[1], 16 * stopped.number(2))
    return sum(length for _, length in struct.iter_unpack("QQ", vectors))


def _write(disk: Disk, stopped: Stopped) -> None:
    _wrote(disk, stopped, 0, stopped.arguments[2], None)


def _pwrite(disk: Disk, stopped: Stopped) -> None:
    _wrote(disk, stopped, 0, stopped.arguments[2], stopped.arguments[3])


def _writev(disk: Disk, stopped: Stopped) -> None:
    if _file(disk, stopped, 0) is not None:
        _wrote(disk, stopped, 0, _total(stopped), None)


def _pwritev(disk: Disk, stopped: Stopped) -> None:
    _wrote(disk, stopped, 0, _total(stopped), stopped.arguments[3])


def _allocate(disk: Disk, stopped: Stopped) -> None:
    _wrote(disk, stopped, 0, stopped.arguments[3], stopped.arguments[2])


def _resize(disk: Disk, stopped: Stopped) -> None:
    if stopped.call is Call.TRUNCATE:
        path = _path(stopped, stopped.text(0))
        if disk.has(path):
            disk.resize(path, stopped.arguments[1])
    elif (file := _file(disk, stopped, 0)) is not None:
        disk.resize(file[0], stopped.arguments[1])


def _sync(disk: Disk, stopped: Stopped) -> None:
    if (file := _file(disk, stopped, 0)) is not None:
        disk.sync(*file)


def _sync_all(disk: Disk, stopped: Stopped) -> None:
    disk.sync_all()


def _open(disk: Disk, stopped: Stopped) -> None:
    if stopped.call is Call.OPENAT:
        path, flags = _path(stopped, stopped.text(1), stopped.number(0)), stopped.number(2)
    elif stopped.call is Call.OPENAT2:
        path, flags = (
            _path(stopped, stopped.text(1), stopped.number(0)),
            *struct.unpack("Q", stopped.memory(stopped.arguments[2], 8)),
        )
    else:
        path = _path(stopped, stopped.text(0))
        flags = os.O_CREAT | os.O_TRUNC if stopped.call is Call.CREAT else stopped.number(1)
    if not disk.has(path):
        return
    if os.path.isfile(path) and flags & os.O_TRUNC and not flags & os.O_EXCL:
        disk.resize(path, 0)
    elif flags & os.O_CREAT:
        disk.create(path)


def _create(disk: Disk, stopped: Stopped) -> None:
    """The path is the last argument but the mode, and the directory before it."""
    place = {Call.LINK: 1, Call.SYMLINK: 1, Call.MKDIRAT: 1, Call.SYMLINKAT: 2, Call.LINKAT: 3}.get(stopped.call, 0)
    directory = stopped.number(place - 1) if stopped.call in (Call.MKDIRAT, Call.SYMLINKAT, Call.LINKAT) else _AT_FDCWD
    path = _path(stopped, stopped.text(place), directory)
    if disk.has(path):
        disk.create(path)


def _remove(disk: Disk, stopped: Stopped) -> None:
    at = stopped.call is Call.UNLINKAT
    path = _path(stopped, stopped.text(1), stopped.number(0)) if at else _path(stopped, stopped.text(0))
    if disk.has(path):
        disk.remove(path)


def _rename(disk: Disk, stopped: Stopped) -> None:
    if stopped.call is Call.RENAME:
        old = _path(stopped, stopped.text(0))
        new = _path(stopped, stopped.text(1))
    else:
        old = _path(stopped, stopped.text(1), stopped.number(0))
        new = _path(stopped, stopped.text(3), stopped.number(2))
    if disk.has(old) or disk.has(new):
        disk.rename(old, new)


def _copy(disk: Disk, stopped: Stopped) -> None:
    """From one descriptor to another, within the kernel."""
    place, size = (0, 3) if stopped.call is Call.SENDFILE else (2, 4)
    at = 0 if stopped.call is Call.SENDFILE else stopped.arguments[3]
    offset = struct.unpack("q", stopped.memory(at, 8))[0] if at else None
    _wrote(disk, stopped, place, stopped.arguments[size], offset)


def _map(disk: Disk, stopped: Stopped) -> None:
    if not stopped.arguments[2] & _PROT_WRITE or stopped.number(4) < 0:
        return
    if (file := _file(disk, stopped, 4)) is not None and not file[1].endswith(_SQLITE_INDEX):
        raise SystemExit(f"{file[1]} is mapped to be written to: not modelled")


_NOTES: dict[Call, Callable[[Disk, Stopped], None]] = {
    Call.WRITE: _write,
    Call.PWRITE64: _pwrite,
    Call.WRITEV: _writev,
    Call.PWRITEV: _pwritev,
    Call.PWRITEV2: _pwritev,
    Call.FALLOCATE: _allocate,
    Call.TRUNCATE: _resize,
    Call.FTRUNCATE: _resize,
    Call.SENDFILE: _copy,
    Call.SPLICE: _copy,
    Call.COPY_FILE_RANGE: _copy,
    Call.MMAP: _map,
    Call.FSYNC: _sync,
    Call.FDATASYNC: _sync,
    Call.SYNC: _sync_all,
    Call.SYNCFS: _sync_all,
    Call.OPEN: _open,
    Call.OPENAT: _open,
    Call.OPENAT2: _open,
    Call.CREAT: _open,
    Call.MKDIR: _create,
    Call.MKDIRAT: _create,
    Call.LINK: _create,
    Call.LINKAT: _create,
    Call.SYMLINK: _create,
    Call.SYMLINKAT: _create,
    Call.UNLINK: _remove,
    Call.UNLINKAT: _remove,
    Call.RMDIR: _remove,
    Call.RENAME: _rename,
    Call.RENAMEAT: _rename,
    Call.RENAMEAT2: _rename,
}


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
