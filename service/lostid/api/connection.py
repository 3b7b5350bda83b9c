"""What a connection of the fast lane is put together from, beside the parser and uvicorn's own."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

_LINGER = 256 * 1024  # bytes that a refused client may go on sending before it has heard


class Pending:
    """Stands where uvicorn keeps the request that is being answered, while an exact record is read for a check."""

    __slots__ = ("disconnected", "keep_alive", "response_complete")

    more_body = False
    message_event = asyncio.Event()  # uvicorn sets it; nobody waits for it, for the request is there as a whole

    def __init__(self) -> None:
        self.response_complete = False
        self.disconnected = False
        self.keep_alive = True


class Deaf:
    """Stands where the parser was, once nothing more is heard: closing at once would take the last answer along with
    what is still coming in (RFC 9112 section 9.6)."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._left = _LINGER

    def feed_data(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            self._transport.abort()


class Flow(FlowControl):
    """Reads on only once nothing waits that was read before: each answer lets uvicorn's own read more."""

    def __init__(self, transport: asyncio.Transport, waiting: deque[Any]) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        if not self._waiting:
            super().resume_reading()


class Starts:
    """How answers begin: the status line and uvicorn's own headers, which it makes anew (the date) once a second."""

    def __init__(self) -> None:
        self._headers: list[tuple[bytes, bytes]] = []
        self._made: dict[int, bytes] = {}

    def of(self, status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
        if headers is not self._headers:
            self._headers, self._made = headers, {}
        start = self._made.get(status)
        if start is None:
            start = self._made[status] = STATUS_LINE[status] + b"".join([b"%b: %b\r\n" % own for own in headers])
        return start
