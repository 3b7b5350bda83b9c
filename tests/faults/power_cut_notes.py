"""What a stopped thread is about to do to the disk, told to `power_cut_disk`."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.faults.power_cut_calls import Call, Stopped
from tests.faults.power_cut_disk import Disk

_AT_FDCWD: Final = -100
_PROT_WRITE: Final = 2
_SQLITE_INDEX: Final = "-shm"
"""SQLite's shared index is mapped, never synced, and made anew after a crash."""

SYNCS: Final = frozenset({Call.FSYNC, Call.FDATASYNC, Call.SYNC, Call.SYNCFS})


def note(disk: Disk, stopped: Stopped) -> None:
    """Raises FileNotFoundError or ProcessLookupError where it refers to nothing, or has ended."""
    _NOTES[stopped.call](disk, stopped)


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
