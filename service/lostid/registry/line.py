"""A connection to Redis that carries our own bytes: commands out, their replies back, and nothing in between.

The library makes the connection (address, TLS, password, database) and ends it. Its streams and its parser would be two
thirds of what a lookup costs the worker; so once it is connected, the transport is ours.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, Self

import redis
from redis.asyncio.connection import AbstractConnection

Reply = bytes | None | redis.ResponseError
Told = Callable[[list[Reply] | Exception], None]
"""What is called with the replies, or with why there are none: redis.RedisError, TimeoutError."""
_STRING, _ERROR, _SIMPLE, _NUMBER = b"$-+:"
_END: Final = b"\r\n"


class Line(asyncio.Protocol):
    """One exchange at a time. After any failure, or when a caller is cancelled, it must be closed and not used again:
    replies to what was asked may still be on their way."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._wanted = 0
        self._replies: list[Reply] = []
        self._told: Told | None = None
        self._late: asyncio.TimerHandle | None = None
        self._lost = False

    @classmethod
    async def open(cls, connection: AbstractConnection) -> Self:
        """Raises redis.RedisError, OSError."""
        await connection.connect()  # type: ignore[no-untyped-call]
        writer = connection._writer
        if writer is None:
            raise redis.ConnectionError("the connection was closed")
        line = cls(writer.transport)  # type: ignore[arg-type]  # of a stream it can read and write
        writer.transport.set_protocol(line)
        return line

    def ask(self, commands: bytes, count: int, until: float, told: Told) -> None:
        """Send packed commands and wait for as many replies, until then by the loop's clock. ``told`` is called as soon
        as they are read, not a turn of the loop later.

        Raises redis.ConnectionError; then nobody is told."""
        if self._lost:
            raise redis.ConnectionError("the connection was closed")
        self._wanted, self._replies, self._told = count, [], told
        self._late = self._loop.call_at(until, self._end, TimeoutError())
        try:
            self._transport.write(commands)
        except BaseException as error:
            self._forget()
            if isinstance(error, RuntimeError):  # of uvloop, where the server went away between two questions
                raise redis.ConnectionError("the connection was closed") from error
            raise

    async def exchange(self, commands: bytes, count: int, until: float) -> list[Reply]:
        """The same for a coroutine. Raises redis.RedisError, TimeoutError."""
        answer: asyncio.Future[list[Reply]] = self._loop.create_future()
        self.ask(commands, count, until, partial(_tell, answer))
        try:
            return await answer
        finally:
            self._forget()

    def data_received(self, data: bytes) -> None:
        if self._told is None:
            self._transport.close()  # nobody has asked for this
            return
        self._buffer = self._buffer + data if self._buffer else data
        try:
            complete = self._parse()
        except (ValueError, redis.RedisError) as error:
            self._transport.close()
            self._end(redis.InvalidResponse(str(error)) if isinstance(error, ValueError) else error)
            return
        if complete:
            self._end(self._replies)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._end(redis.ConnectionError("the connection was lost"))

    def _end(self, outcome: list[Reply] | Exception) -> None:
        told = self._told
        self._forget()
        if told is not None:
            told(outcome)

    def _forget(self) -> None:
        """Nobody waits any more."""
        self._told = None
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _parse(self) -> bool:
        """Take whole replies off the buffer (RESP2). Whether all are there. ValueError: that is not what Redis says."""
        buffer, at = self._buffer, 0
        while len(self._replies) < self._wanted:
            end = buffer.find(_END, at)
            if end < 0:
                break
            kind, told, start = buffer[at], buffer[at + 1 : end], end + 2
            if kind == _STRING:
                length = int(told)
                if length >= 0:
                    end = start + length
                    if len(buffer) < end + 2:
                        break
                    self._replies.append(buffer[start:end])
                    start = end + 2
                else:
                    self._replies.append(None)
            elif kind == _ERROR:
                self._replies.append(_error(told))
            elif kind in (_SIMPLE, _NUMBER):
                self._replies.append(told)
            else:
                raise ValueError("a reply of a kind that was not asked for")
            at = start
        self._buffer = buffer[at:]
        if len(self._replies) < self._wanted:
            return False
        if self._buffer:
            raise ValueError("more than was asked for")
        return True


def _tell(answer: asyncio.Future[list[Reply]], outcome: list[Reply] | Exception) -> None:
    if answer.done():
        return
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)


def _error(told: bytes) -> redis.ResponseError:
    """Raises BusyLoadingError: a server that is still starting is as good as away."""
    text = told.decode("utf-8", "replace")
    if text.startswith("LOADING"):
        raise redis.BusyLoadingError(text)
    return redis.exceptions.NoScriptError(text) if text.startswith("NOSCRIPT") else redis.ResponseError(text)
