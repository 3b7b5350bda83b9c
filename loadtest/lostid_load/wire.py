"""HTTP/1.1 on one connection, one request at a time: little work, so that the driver stays out of the way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, cast

from lostid_load.outcome import Target

Done = Callable[[int, bytes], None]
"""Called with the status (0: the connection broke) and the body."""


def request(host: str, path: str, key: str, body: Mapping[str, Any], idempotency_key: str | None = None) -> bytes:
    """The bytes of a POST."""
    content = json.dumps(body, separators=(",", ":")).encode()
    extra = f"Idempotency-Key: {idempotency_key}\r\n" if idempotency_key else ""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\n{extra}Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


class Connection(asyncio.Protocol):
    """A kept-alive connection. ``on_free`` is called whenever it can take the next request."""

    def __init__(self, on_free: Callable[[Connection], None] | None) -> None:
        self._on_free = on_free
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._done: Done | None = None

    @property
    def open(self) -> bool:
        """Whether a request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is no subclass

    def send(self, raw: bytes, done: Done) -> None:
        """Send one request; ``done`` hears of its reply."""
        assert self._transport is not None  # noqa: S101
        self._done = done
        self._transport.write(raw)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        head_end = buffer.find(b"\r\n\r\n")
        if head_end < 0:
            self._buffer = buffer
            return
        length = _content_length(buffer[:head_end])
        end = head_end + 4 + length
        if len(buffer) < end:
            self._buffer = buffer
            return
        self._buffer = b""
        self._finish(int(buffer[9:12]), buffer[head_end + 4 : end])
        if self.open and self._on_free is not None:
            self._on_free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._finish(0, b"")
        if self._on_free is not None:
            self._on_free(self)

    def close(self) -> None:
        """Close it."""
        if self._transport is not None:
            self._transport.close()

    def _finish(self, status: int, body: bytes) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(status, body)


async def connect(target: Target, on_free: Callable[[Connection], None] | None = None) -> Connection:
    """A connection; without ``on_free``, of one task that knows itself when it can take the next request."""
    loop = asyncio.get_running_loop()
    return (await loop.create_connection(lambda: Connection(on_free), target.host, target.port))[1]


async def ask(connection: Connection, raw: bytes) -> tuple[int, bytes]:
    """One request and its reply (status 0: the connection broke)."""
    told: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
    connection.send(raw, lambda status, body: None if told.done() else told.set_result((status, body)))
    return await told


def _content_length(head: bytes) -> int:
    lower = head.lower()
    at = lower.find(b"\r\ncontent-length:")
    if at < 0:
        return 0
    end = lower.find(b"\r\n", at + 2)
    return int(lower[at + 17 : end if end > 0 else len(lower)])
