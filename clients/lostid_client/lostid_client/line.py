"""What a request needs of the line: how long each part of it may take, and a file as its body."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

from lostid_client.flow import Clock, LineBroken, Send, Upload

CONNECT_S = 1.0
_CHUNK = 1 << 16


def timeouts(send: Send) -> dict[str, float]:
    """httpx's limits, each for one part of a request."""
    left = send.timeout_s
    return {"connect": min(left, CONNECT_S), "pool": min(left, CONNECT_S), "write": left, "read": left}


class Deadline:
    """One end for all parts of a blocking request.

    httpx bounds each part by itself: waiting for a connection, making it and reading would together take three times as
    long. So each part, when it begins, is given what is left.
    """

    def __init__(self, send: Send, clock: Clock) -> None:
        self._timeouts = timeouts(send)
        self._clock = clock
        self._end = None if send.upload is not None else clock() + send.timeout_s

    @property
    def extensions(self) -> dict[str, Any]:
        """For httpx: it looks the limits up when a part begins, after `trace` was called."""
        return {"timeout": self._timeouts, "trace": self._began}

    def _began(self, event: str, told: Any) -> None:
        if self._end is not None and event.endswith(".started") and "close" not in event:
            left = self.check()
            for name in ("read", "write"):
                self._timeouts[name] = left

    def check(self) -> float:
        """Seconds that are left, at the least a few milliseconds; a server that drips must not hold the caller.

        Raises:
            LineBroken: none are left.
        """
        if self._end is None:
            return self._timeouts["read"]
        left = self._end - self._clock()
        if left <= 0:
            raise LineBroken("timeout")
        return left


def chunks(upload: Upload) -> Iterator[bytes]:
    """The file, from its beginning, telling how far it is."""
    size, sent = upload.path.stat().st_size, 0
    with upload.path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
            sent += len(chunk)
            if upload.progress is not None:
                upload.progress(sent, max(size, sent))


async def achunks(upload: Upload) -> AsyncIterator[bytes]:
    """The same for asyncio: the file is read in a thread, its progress is told in the loop."""
    size, sent = upload.path.stat().st_size, 0
    with upload.path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, _CHUNK):
            yield chunk
            sent += len(chunk)
            if upload.progress is not None:
                upload.progress(sent, max(size, sent))
