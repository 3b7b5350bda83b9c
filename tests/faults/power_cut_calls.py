"""The system calls that change what is on a disk, seen one by one before they happen: seccomp_unotify(2), Linux 5.5.

`in_child` makes a process, and all that it will ever start, stop at each such call until somebody says go on. No
library is preloaded and nothing is compiled; also programs that are linked statically are seen.
"""

from __future__ import annotations

import array
import ctypes
import errno
import fcntl
import os
import platform
import socket
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final


class Call(IntEnum):
    """Their numbers on x86-64, which is what the service runs on."""

    WRITE = 1
    OPEN = 2
    MMAP = 9
    PWRITE64 = 18
    WRITEV = 20
    SENDFILE = 40
    FSYNC = 74
    FDATASYNC = 75
    TRUNCATE = 76
    FTRUNCATE = 77
    RENAME = 82
    MKDIR = 83
    RMDIR = 84
    CREAT = 85
    LINK = 86
    UNLINK = 87
    SYMLINK = 88
    SYNC = 162
    OPENAT = 257
    MKDIRAT = 258
    UNLINKAT = 263
    RENAMEAT = 264
    LINKAT = 265
    SYMLINKAT = 266
    SPLICE = 275
    FALLOCATE = 285
    PWRITEV = 296
    SYNCFS = 306
    RENAMEAT2 = 316
    COPY_FILE_RANGE = 326
    PWRITEV2 = 328
    OPENAT2 = 437


# Looked at only if an argument has one of these bits: (number of the argument, bits).
_ONLY_WITH: Final = {
    Call.OPEN: (1, os.O_CREAT | os.O_TRUNC),
    Call.OPENAT: (2, os.O_CREAT | os.O_TRUNC),
    Call.MMAP: (3, 1),  # MAP_SHARED
}
_IO_URING_SETUP: Final = 425  # would write behind our back; refused as if the kernel did not have it

_X86_64: Final = 0xC000003E
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_NOTIFY, _ALLOW, _REFUSE = 0x7FC00000, 0x7FFF0000, 0x00050000 | errno.ENOSYS
_SET_FILTER, _NEW_LISTENER, _WAIT_KILLABLE = 1, 1 << 3, 1 << 5
_RECEIVE, _ANSWER, _GO_ON = 0xC0502100, 0xC0182101, 1
_NO_NEW_PRIVS, _SECCOMP = 38, 317

_libc = ctypes.CDLL(None, use_errno=True)  # looked up before any fork


def _step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("HBBI", code, yes, no, value)


def _program() -> bytes:
    steps = [_step(_LOAD, 4), _step(_EQUAL, _X86_64, 1, 0), _step(_RETURN, _REFUSE), _step(_LOAD, 0)]
    steps += [_step(_EQUAL, _IO_URING_SETUP, 0, 1), _step(_RETURN, _REFUSE)]
    for call in Call:
        if call not in _ONLY_WITH:
            steps += [_step(_EQUAL, call, 0, 1), _step(_RETURN, _NOTIFY)]
            continue
        argument, bits = _ONLY_WITH[call]
        steps += [_step(_EQUAL, call, 0, 4), _step(_LOAD, 16 + 8 * argument), _step(_ANY_BIT, bits, 0, 1)]
        steps += [_step(_RETURN, _NOTIFY), _step(_RETURN, _ALLOW)]
    return b"".join([*steps, _step(_RETURN, _ALLOW)])


_instructions = ctypes.create_string_buffer(program := _program())
_filter = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(_instructions))


class NotHere(Exception):
    """This kernel, or what surrounds us, does not let a process be watched. The sentence says what is missing."""


def in_child(to_parent: socket.socket) -> None:
    """Between fork and exec: from now on this process stops at each of the calls. The parent is sent what it takes to
    see them."""
    _libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    listener = _libc.syscall(_SECCOMP, _SET_FILTER, _NEW_LISTENER | _WAIT_KILLABLE, _filter)
    if listener < 0:  # before Linux 5.19; then a signal may have a call begin anew, and it is seen twice
        listener = _libc.syscall(_SECCOMP, _SET_FILTER, _NEW_LISTENER, _filter)
    told = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [listener]))] if listener >= 0 else []
    to_parent.sendmsg([struct.pack("i", ctypes.get_errno())], told)


@dataclass(frozen=True, slots=True)
class Stopped:
    """A thread that waits before a call."""

    id: int
    thread: int
    call: Call
    arguments: tuple[int, ...]

    def number(self, place: int) -> int:
        """An argument as the C `int` that it is: a descriptor, flags."""
        return ctypes.c_int(self.arguments[place]).value

    def memory(self, address: int, size: int) -> bytes:
        """What lies there in its memory."""
        with open(f"/proc/{self.thread}/mem", "rb", buffering=0) as memory:
            memory.seek(address)
            return memory.read(size)

    def text(self, place: int) -> bytes:
        """An argument that points to a path."""
        address, found = self.arguments[place], b""
        while b"\0" not in found:  # page by page: the next one need not be there
            found += self.memory(address + len(found), 4096 - (address + len(found)) % 4096)
        return found.partition(b"\0")[0]


class Listener:
    """Where the stopped threads are seen."""

    def __init__(self, from_child: socket.socket) -> None:
        said, fds, _, _ = socket.recv_fds(from_child, 4, 1)
        if not fds:
            reason = os.strerror(*struct.unpack("i", said)) if platform.machine() == "x86_64" else platform.machine()
            raise NotHere(
                f"no process can be watched here ({reason}): the power cut needs x86-64, Linux 5.5 or later, "
                "and a container that allows seccomp()"
            )
        self._fd = fds[0]

    def fileno(self) -> int:
        return self._fd

    def next(self) -> Stopped | None:
        """Only after poll said that there is one; None where it ended before we looked."""
        notice = bytearray(80)
        try:
            fcntl.ioctl(self._fd, _RECEIVE, notice)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):
                return None
            raise
        id_, thread, _, call, _, _, *arguments = struct.unpack("QIIiIQ6Q", notice)
        return Stopped(id_, thread, Call(call), tuple(arguments))

    def go_on(self, stopped: Stopped) -> None:
        try:
            fcntl.ioctl(self._fd, _ANSWER, struct.pack("QqiI", stopped.id, 0, 0, _GO_ON))
        except OSError as error:
            if error.errno != errno.ENOENT:  # ended meanwhile
                raise
