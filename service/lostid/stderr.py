"""Standard error that never makes a process wait.

Whoever collects our lines may stall: a full pipe would then hold the event loop that answers checks, or the replica
that renews the lease. Lines go through a bounded buffer and a thread instead. What does not fit is lost and counted,
and the count is written as soon as somebody reads again.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import os
import sys
import threading
from collections import deque

BUFFER_BYTES = 1 << 20
_LAST_WORDS_S = 0.5


class Unstalled(io.TextIOBase):
    """A text stream over a file descriptor. `write` returns at once, whatever becomes of the reader."""

    def __init__(self, fd: int, buffer_bytes: int = BUFFER_BYTES) -> None:
        self._fd = fd
        self._room = buffer_bytes
        self._lines: deque[bytes] = deque()
        self._lost = 0
        self._changed = threading.Condition()
        self._idle = True
        threading.Thread(target=self._pass_on, name="stderr", daemon=True).start()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def write(self, text: str) -> int:
        line = text.encode(errors="backslashreplace")
        with self._changed:
            if len(line) <= self._room:
                self._room -= len(line)
                self._lines.append(line)
                self._changed.notify_all()
            else:
                self._lost += 1
        return len(text)

    def drain(self, seconds: float) -> None:
        """Wait until all is written, at most so long. `flush` is not it: callers flush each line and shall not wait."""
        with self._changed:
            self._changed.wait_for(lambda: self._idle and not self._lines, seconds)

    def _pass_on(self) -> None:
        while True:
            with self._changed:
                self._idle = True
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._lines)
                self._idle = False
                line, lost = self._lines.popleft(), self._lost
                self._room += len(line)
                self._lost = 0
            if lost:
                line += json.dumps({"event": "stderr.lines_lost", "lines": lost}).encode() + b"\n"
            self._write_whole(line)

    def _write_whole(self, line: bytes) -> None:
        # A reader that is gone for good is no reason to end: the process has better things to do than to tell.
        with contextlib.suppress(OSError):
            while line:
                line = line[os.write(self._fd, line) :]


def never_wait() -> None:
    """For this process, from now on: before anything takes hold of `sys.stderr`."""
    stream = Unstalled(2)
    sys.stderr = stream
    atexit.register(stream.drain, _LAST_WORDS_S)
