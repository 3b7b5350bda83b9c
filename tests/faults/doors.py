"""A host as a caller sees it: requests on kept-alive or fresh connections, each with its times and an end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

from lostid_load.wire import Connection, request

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` 0: none came. `invoked` is read before the first byte is sent, `completed` when the last was read."""

    invoked: float
    completed: float
    status: int
    body: bytes

    @property
    def told(self) -> dict[str, Any]:
        """The JSON; empty where there is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


class Door:
    """The way to one host."""

    def __init__(self, name: str, number: int, port: int) -> None:
        self.name, self.number, self.port = name, number, port
        self._idle: list[Connection] = []

    async def ask(
        self, path: str, key: str, body: dict[str, Any], idempotency_key: str | None = None,
        *, fresh: bool = False, patience: float = 3.0,
    ) -> Answer:  # fmt: skip
        """One POST. After `patience` seconds the connection is closed and the outcome unknown."""
        return await self._exchange(request(HOST, path, key, body, idempotency_key), fresh, patience)

    async def put(self, path: str, key: str, content: bytes, media: str) -> Answer:
        head = f"PUT {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {key}\r\nContent-Type: {media}\r\n"
        return await self._exchange(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content, False, 10.0)

    async def get(self, path: str, key: str) -> Answer:
        raw = f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
        return await self._exchange(raw, False, 3.0)

    async def _exchange(self, raw: bytes, fresh: bool, patience: float) -> Answer:
        connection: Connection | None = None
        invoked = time.monotonic()
        try:
            async with asyncio.timeout(patience):
                connection = await self._connection(fresh)
                heard: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
                invoked = time.monotonic()
                connection.send(raw, partial(_hear, heard))
                status, body = await heard
        except (OSError, TimeoutError):
            status, body = 0, b""
        except BaseException:
            _drop(connection)
            raise
        completed = time.monotonic()
        if status and not fresh and connection is not None and connection.open and len(self._idle) < 32:
            self._idle.append(connection)
        else:
            _drop(connection)
        return Answer(invoked, completed, status, body)

    async def _connection(self, fresh: bool) -> Connection:
        while self._idle and not fresh:
            found = self._idle.pop()
            if found.open:
                return found
        _, made = await asyncio.get_running_loop().create_connection(lambda: Connection(_nobody), HOST, self.port)
        return made


def _hear(heard: asyncio.Future[tuple[int, bytes]], status: int, body: bytes) -> None:
    if not heard.done():  # nobody waits for the end of a connection that was given up
        heard.set_result((status, body))


def _nobody(connection: Connection) -> None:
    """Nobody waits for a free connection."""


def _drop(connection: Connection | None) -> None:
    if connection is not None:
        with contextlib.suppress(RuntimeError):
            connection.close()
