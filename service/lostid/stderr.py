"""Standard error that never makes a process wait.

Whoever collects our lines may stall: a full pipe would then hold the event loop that answers checks, or the replica
that renews the lease. A line that cannot be written at once goes into a bounded buffer, and a thread waits for the
reader instead. What does not fit is lost and counted, and the count is written as soon as somebody reads again.
"""

from __future__ import annotations

import atexit
import io
import json
import os
import select
import socket
import stat
import sys
import threading
from collections import deque
from collections.abc import Callable
from functools import partial

BUFFER_BYTES = 1 << 20
LAST_WORDS_S = 0.5


class Unstalled(io.TextIOBase):
    """A text stream over a file descriptor. `write` returns at once, whatever becomes of the reader."""

    def __init__(self, fd: int, buffer_bytes: int = BUFFER_BYTES) -> None:
        self._fd = fd
        self._send, self._let_go = _never_waiting(fd)
        self._room = buffer_bytes
        self._waiting: deque[bytes] = deque()  # while there is any, a thread waits for the reader
        self._lost = 0
        self._changed = threading.Condition()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        """Ends what was opened here. The file descriptor stays its owner's."""
        if not self.closed:
            self._let_go()
        super().close()

    def write(self, text: str) -> int:
        line = text.encode(errors="backslashreplace")
        with self._changed:
            if not self._waiting:
                line = self._sent(line)
                if line:
                    threading.Thread(target=self._wait_for_reader, name="stderr", daemon=True).start()
            if len(line) > self._room:
                self._lost += 1
            elif line:
                self._room -= len(line)
                self._waiting.append(line)
        return len(text)

    def drain(self, seconds: float) -> None:
        """Wait until all is written, at most so long. `flush` is not it: callers flush each line and shall not wait."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, seconds)

    def _wait_for_reader(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        while True:
            poll.poll()
            with self._changed:
                line = self._waiting.popleft()
                self._room += len(line)
                if self._lost:
                    line += json.dumps({"event": "stderr.lines_lost", "lines": self._lost}).encode() + b"\n"
                    self._lost = 0
                if rest := self._sent(line):
                    self._room -= len(rest)
                    self._waiting.appendleft(rest)
                if not self._waiting:
                    self._changed.notify_all()
                    return

    def _sent(self, line: bytes) -> bytes:
        """What of it could not be written without waiting."""
        try:
            return line[self._send(line) :]
        except BlockingIOError:
            return line
        except OSError:
            return b""  # a reader that is gone for good is no reason to end: there are better things to do than to tell


def _never_waiting(fd: int) -> tuple[Callable[[bytes], int], Callable[[], None]]:
    """A write that raises BlockingIOError instead of waiting, and what ends it.

    The flag O_NONBLOCK belongs to the open file, which others write to as well; so it is opened once more, or, for a
    socket, said with each write."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISSOCK(mode):
        to = socket.socket(fileno=os.dup(fd))
        return partial(_send_now, to), to.close
    if stat.S_ISREG(mode):
        return partial(os.write, fd), _nothing  # a file makes nobody wait; opened again it would not share its end
    try:
        again = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:  # it is not ours, and was opened for us
        return partial(_write_if_ready, fd), _nothing
    return partial(os.write, again), partial(os.close, again)


def _nothing() -> None:
    """There is nothing to end."""


def _send_now(to: socket.socket, line: bytes) -> int:
    return to.send(line, socket.MSG_DONTWAIT)


def _write_if_ready(fd: int, line: bytes) -> int:
    """The next best: ready means that PIPE_BUF bytes will go in, unless another writer is faster."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    if not poll.poll(0):
        raise BlockingIOError
    return os.write(fd, line[: select.PIPE_BUF])


def never_wait() -> Unstalled:
    """For this process, from now on: before anything takes hold of `sys.stderr`."""
    stream = Unstalled(2)
    sys.stderr = stream
    atexit.register(stream.drain, LAST_WORDS_S)
    return stream
