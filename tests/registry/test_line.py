"""Our own bytes on a connection to Redis: every reply is the one that was asked for, however it arrives."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from lostid.registry.client import open_async_client
from lostid.registry.line import Line, Reply
from lostid.registry.wire import packed


@asynccontextmanager
async def line() -> AsyncIterator[tuple[Line, socket.socket]]:
    """A line, and the end at which the server would be."""
    ours, theirs = socket.socketpair()
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
    made = Line(transport)
    transport.set_protocol(made)
    try:
        yield made, theirs
    finally:
        transport.close()
        theirs.close()
        await asyncio.sleep(0)


def asked(on: Line, count: int, seconds: float = 30) -> asyncio.Task[list[Reply]]:
    until = asyncio.get_running_loop().time() + seconds
    return asyncio.ensure_future(on.exchange(b"PING", count, until))


def written(reply: bytes | int | None) -> bytes:
    if reply is None:
        return b"$-1\r\n"
    return b":%d\r\n" % reply if isinstance(reply, int) else b"$%d\r\n%b\r\n" % (len(reply), reply)


@given(st.lists(st.none() | st.integers(0, 99) | st.binary(max_size=20), min_size=1, max_size=4), st.data())
def test_pieces(replies: list[bytes | int | None], data: st.DataObject) -> None:
    """Cut anywhere, bytes of the protocol inside the values or not: the same replies."""
    raw = b"".join(map(written, replies))
    cuts = sorted(data.draw(st.lists(st.integers(1, len(raw)), max_size=6)))

    async def story() -> None:
        async with line() as (on, _):
            answer = asked(on, len(replies))
            await asyncio.sleep(0)
            for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
                if start < end:
                    on.data_received(raw[start:end])
            expected = [b"%d" % reply if isinstance(reply, int) else reply for reply in replies]
            assert await answer == expected

    asyncio.run(story())


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"*1\r\n$1\r\nx\r\n", redis.InvalidResponse),
        (b"$x\r\n", redis.InvalidResponse),
        (b"+OK\r\n+AND MORE\r\n", redis.InvalidResponse),
        (b"-LOADING it still reads its file\r\n", redis.BusyLoadingError),
    ],
)
async def test_refused(raw: bytes, error: type[Exception]) -> None:
    """What nobody asked for, or what is no reply, ends the connection, so that nothing is read out of step."""
    async with line() as (on, server):
        answer = asked(on, 1)
        await asyncio.sleep(0)
        server.sendall(raw)
        with pytest.raises(error):
            await answer
        with pytest.raises(redis.ConnectionError):
            await asked(on, 1)


async def test_errors() -> None:
    """An error is a reply like any other, in its place."""
    async with line() as (on, server):
        answer = asked(on, 3)
        server.sendall(b"-NOSCRIPT what?\r\n+OK\r\n-ERR no\r\n")
        first, second, third = await answer
    assert isinstance(first, redis.exceptions.NoScriptError)
    assert second == b"OK"
    assert isinstance(third, redis.ResponseError)
    assert not isinstance(third, redis.exceptions.NoScriptError)


async def test_late() -> None:
    """Silence has an end; what comes after it reaches nobody."""
    async with line() as (on, server):
        with pytest.raises(TimeoutError):
            await asked(on, 1, seconds=0.01)
        server.sendall(b"+LATE\r\n")
        assert await asyncio.to_thread(server.recv, 4) == b"PING"
        assert await asyncio.to_thread(server.recv, 1) == b""  # the line was closed for it


async def test_gone() -> None:
    """A server that goes away while it is asked."""
    async with line() as (on, server):
        answer = asked(on, 1)
        await asyncio.sleep(0)
        server.close()
        with pytest.raises(redis.ConnectionError):
            await answer


async def test_told() -> None:
    """Who asks without a coroutine is told once, within the call that brings the last byte, and may ask again there."""
    told: list[list[Reply] | Exception] = []
    async with line() as (on, _):
        until = asyncio.get_running_loop().time() + 30

        def again(outcome: list[Reply] | Exception) -> None:
            told.append(outcome)
            on.ask(b"PING", 1, until, told.append)

        on.ask(b"PING", 2, until, again)
        on.data_received(b"+ONE\r\n$3\r\nT")
        assert told == []
        on.data_received(b"WO\r\n")
        assert told == [[b"ONE", b"TWO"]]
        on.connection_lost(None)
        assert [type(outcome) for outcome in told] == [list, redis.ConnectionError]
        on.connection_lost(None)
        with pytest.raises(redis.ConnectionError):
            on.ask(b"PING", 1, until, told.append)
        assert len(told) == 2


async def test_library(valkey_url: str) -> None:
    """On a connection that the library has made, as often as one likes."""
    client = open_async_client(valkey_url)
    connection = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    for _ in range(2):
        on = await Line.open(connection)
        until = asyncio.get_running_loop().time() + 30
        assert await on.exchange(packed([b"PING"]) + packed([b"ECHO", b"a\r\nb"]), 2, until) == [b"PONG", b"a\r\nb"]
        await connection.disconnect(nowait=True)
    await client.aclose()
