"""What one connection may cost: of the memory of its worker, and of its time. The protocol in this process."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import uvicorn
from uvicorn.server import ServerState

from lostid.api import bounded_connection, deadlines, fast_lane, lining_up
from lostid.api.checks import Checks
from lostid.api.clock import Clock
from lostid.api.ids import Ids
from lostid.api.lane import Lane, Receive, Scope, Send
from lostid.api.meters import Meters
from lostid.api.problems import Answer
from lostid.api.steps import Head
from lostid.domain.keys import Keyring
from lostid.guard.auth import KeyCache
from lostid.guard.rates import Rates
from lostid.ledger.journal import JournalWriter

GET = b"GET /livez HTTP/1.1\r\nHost: lostid\r\n\r\n"
READ_AT_ONCE = 256 * 1024  # by the loop
OUT = b"x" * 1000


async def _slow(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(0)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
    await send({"type": "http.response.body", "body": OUT})


@asynccontextmanager
async def _listening(
    lane: Lane | None = None, limit: int = 1_000
) -> AsyncIterator[tuple[int, list[fast_lane.FastLane]]]:
    """(port, connections)."""
    lane = lane or Lane(_slow)
    protocol = lining_up.protocol_for(lane, limit)
    config = uvicorn.Config(lane, ws="none", log_level="critical", access_log=False, lifespan="off")
    state, made = ServerState(), list[fast_lane.FastLane]()

    def connect() -> fast_lane.FastLane:
        made.append(protocol(config=config, server_state=state, app_state={}))
        return made[-1]

    server = await asyncio.get_running_loop().create_server(connect, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], made
    finally:
        server.close()
        for connection in made:
            connection.transport.abort()
        await server.wait_closed()
        while state.connections or state.tasks:  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(0.01)


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(0.005)


async def test_pipeline_is_bounded() -> None:
    """However many requests a client sends ahead, and however fast it reads the answers, no more of them wait here than
    came in one reading. Every one is answered."""
    count, most, received = 40_000, 0, 0
    async with _listening() as (port, made):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writing = asyncio.create_task(_write(writer, GET * count))
        while received < count:
            received += (await reader.read(1 << 16)).count(OUT)
            most = max(most, len(made[0].pipeline))
            if received > 9_000:
                break
        assert 0 < most <= READ_AT_ONCE // len(GET) + 1
        writing.cancel()
        writer.close()


async def _write(writer: asyncio.StreamWriter, content: bytes) -> None:
    for at in range(0, len(content), READ_AT_ONCE):
        writer.write(content[at : at + READ_AT_ONCE])
        await writer.drain()


async def test_who_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that does not take its answers loses its place; one that takes them late keeps it."""
    monkeypatch.setattr(bounded_connection, "READ_S", 1.5)
    monkeypatch.setattr(deadlines, "_STEP_S", 0.005)
    async with _listening() as (port, made):
        late, late_writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 10)
        late_writer.write(GET * 20_000)
        _, never_writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 10)
        never_writer.write(GET * 20_000)
        await _until(lambda: len(made) == 2 and all(each.flow.write_paused for each in made))
        taken = 0
        while not made[1].transport.is_closing():
            taken += len(await late.read(1 << 18))
            await asyncio.sleep(0.02)
        assert taken
        assert not made[0].transport.is_closing()
        late_writer.close()
        never_writer.close()


class _Broken(Lane):
    """Raises where a request is looked up, and can say no more than which problem it was asked to send."""

    checks: Any

    def __init__(self) -> None:
        super().__init__(_slow)
        self.checks = self
        self.told: list[str] = []

    def decide_for(self, url: bytes) -> None:
        raise ZeroDivisionError(url)

    def refuse_request(self, code: str, head: Head) -> Answer:
        self.told.append(code)
        return Answer(503, b"content-length: 0\r\n", b"")


async def test_our_own_fault(capsys: pytest.CaptureFixture[str]) -> None:
    """What breaks here while a request is read is told as ours, and in the log; it is not put down to the client."""
    lane = _Broken()
    async with _listening(lane) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
        writer.close()
    assert lane.told == ["freshness_unproven"]
    assert "ZeroDivisionError" in capsys.readouterr().err


async def test_one_connection_too_many(tmp_path: Path) -> None:
    """It is told so once it asks, and closed; those that were there before do not notice."""
    lane = Lane(_slow)
    lane.checks = _checks(tmp_path)
    async with _listening(lane, limit=2) as (port, made):
        pairs = []
        for place in range(3):
            pairs.append(await asyncio.open_connection("127.0.0.1", port))
            await _until(lambda place=place: len(made) == place + 1)  # type: ignore[misc]  # bound at once
        for reader, writer in reversed(pairs):
            writer.write(GET)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 503 " if writer is pairs[2][1] else b"HTTP/1.1 200 ")
            if writer is pairs[2][1]:
                assert b"retry-after: 1" in answer
                assert b"overloaded" in await reader.read()
            writer.close()


def _checks(run_dir: Path) -> Checks:
    """Enough to refuse with."""

    async def never(*_: object) -> Any:
        raise AssertionError

    keyring = Keyring(b"o" * 32, b"p" * 32, b"s" * 32)
    keys, clock = KeyCache(never, lambda: None, sandbox=True), Clock(ZoneInfo("Asia/Shanghai"))
    return Checks(keyring, keys, Rates(run_dir), JournalWriter(""), never, clock, Ids(), Meters(run_dir))
