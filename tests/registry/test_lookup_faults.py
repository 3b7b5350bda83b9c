"""The exact lookup while Redis is slow, dead or gone, and while callers give up."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pytest
import redis
import uvloop

from lostid.api.health import registry_state
from lostid.domain.position import Position
from lostid.domain.record import Record
from lostid.engines import valkey
from lostid.registry import lookup, reader
from lostid.registry.client import open_async_client, open_client
from lostid.registry.line import Line
from lostid.registry.lookup import FreshnessUnproven, Source
from lostid.registry.reader import Question
from lostid.registry.writer import Writer
from tests.faults.links import Links
from tests.registry.looking import Ledger, Worker, worker
from tests.registry.making import at, filled, key, record, value

NUMBERS = range(20)


class Server(Protocol):
    """OwnValkey of conftest."""

    url: str

    def start(self) -> None: ...
    def kill(self) -> None: ...
    def freeze(self) -> None: ...
    def thaw(self) -> None: ...


def prepared(server: Server) -> Ledger:
    """Number n is reported through day n, here and there; so no answer can be mistaken for another's."""
    with open_client(server.url) as client:
        filled(Writer(client), at(1), NUMBERS)
    return Ledger({n: record(9_000) for n in NUMBERS})


async def until_redis_answers(work: Worker) -> None:
    for _ in range(500):
        if (await work.look(1))[0][1] is Source.REGISTRY:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("Redis is back, and still left alone")


async def test_cancelled(own_valkey: Server) -> None:
    """Callers who give up while Redis is at work leave no reply behind: those after them get their own answers."""
    async with worker(own_valkey.url, prepared(own_valkey)) as work:
        await work.look(0)
        own_valkey.freeze()
        gone = [asyncio.ensure_future(work.look(*range(n, 20))) for n in NUMBERS]
        await asyncio.sleep(0.05)
        for caller in gone:
            caller.cancel()
        after = [asyncio.ensure_future(work.look(n, n + 100)) for n in NUMBERS]
        await asyncio.sleep(0)
        own_valkey.thaw()
        answer = [("reported", Source.REGISTRY), ("clear", Source.LEDGER)]
        assert await asyncio.gather(*after) == [answer] * 20
        assert all(caller.cancelled() for caller in gone)


async def test_cancelled_reader(own_valkey: Server) -> None:
    """Who reads and is cancelled himself leaves no reply behind either."""
    prepared(own_valkey)
    async with worker(own_valkey.url) as work:
        await work.reader.read([Question(at(1), [key(0)])])
        own_valkey.freeze()
        gone = asyncio.ensure_future(work.reader.read([Question(at(1), [key(1)])]))
        await asyncio.sleep(0.05)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        own_valkey.thaw()
        assert await work.reader.read([Question(at(1), [key(2)])]) == [[value(2, 1)]]


async def test_silent(own_valkey: Server) -> None:
    """A server that does not answer in time is left alone, the ledger answers; its late replies reach nobody."""
    async with worker(own_valkey.url, prepared(own_valkey), timeout=0.05) as work:
        await work.look(0)
        own_valkey.freeze()
        assert await work.look(1, 2) == [("reported", Source.LEDGER)] * 2
        assert work.reader.resting
        assert await work.look(3) == [("reported", Source.LEDGER)]
        assert work.exact.counts.failed == 1
        own_valkey.thaw()
        await until_redis_answers(work)
        assert await work.look(*NUMBERS) == [("reported", Source.REGISTRY)] * 20


def test_reset_between_two_questions(own_valkey: Server, tmp_path: Path) -> None:
    """The connection is reset while nobody asks: the ledger answers at once, Redis soon again. On uvloop, which the
    workers run on and which says so otherwise than asyncio does."""
    links = Links(tmp_path)
    port = links.open("redis", Path(own_valkey.url.removeprefix("unix://")))

    async def story() -> None:
        async with worker(f"redis://127.0.0.1:{port}", prepared(own_valkey)) as work:
            await work.look(0)
            links.reset("redis")
            await asyncio.sleep(0.1)
            assert await asyncio.wait_for(work.look(1), 10) == [("reported", Source.LEDGER)]
            await until_redis_answers(work)

    try:
        uvloop.run(story())
    finally:
        links.close()


async def test_killed(own_valkey: Server) -> None:
    """Redis dies while a lookup is under way: the ledger answers it, and all after it until Redis is back."""
    ledger = prepared(own_valkey)
    async with worker(own_valkey.url, ledger) as work:
        await work.look(0)
        own_valkey.freeze()
        waiting = [asyncio.ensure_future(work.look(n)) for n in NUMBERS]
        await asyncio.sleep(0.02)
        own_valkey.kill()
        assert await asyncio.gather(*waiting) == [[("reported", Source.LEDGER)]] * 20
        ledger.error = OSError("away as well")
        with pytest.raises(FreshnessUnproven):
            await work.look(1)
        ledger.error = None
        own_valkey.start()  # empty: it had not saved
        assert await work.look(1) == [("reported", Source.LEDGER)]
        prepared(own_valkey)
        await until_redis_answers(work)


def mistaken(*_: object) -> None:
    raise ZeroDivisionError


def invalid(*_: object) -> None:
    raise redis.InvalidResponse


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize(
    ("where", "what"), [(lookup, "unpack"), (reader, "_values"), (reader.Reader, "_lookup"), (Line, "open")]
)
@pytest.mark.parametrize("wrong", [mistaken, invalid])
async def test_no_reader_of_this(
    own_valkey: Server, monkeypatch: pytest.MonkeyPatch, where: object, what: str, wrong: object, first: bool
) -> None:
    """A reply of the wrong length, or a mistake of ours in asking or in reading, keeps nobody waiting, neither by the
    way of the first question nor by that of the others: the ledger answers, and soon Redis again. A mistake is heard
    of."""
    heard: list[BaseException] = []
    async with worker(own_valkey.url, prepared(own_valkey)) as work:
        if not first:
            await work.look(0)
        with monkeypatch.context() as faulty:
            faulty.setattr(where, what, wrong)
            faulty.setattr(
                asyncio.get_running_loop(), "call_exception_handler", lambda context: heard.append(context["exception"])
            )
            if what == "open":
                await work.reader._close()
            for _ in range(3):
                assert await asyncio.wait_for(work.look(1, 2), 10) == [("reported", Source.LEDGER)] * 2
                await asyncio.sleep(0.02)  # a probe, or two
        await until_redis_answers(work)
    if wrong is mistaken:
        assert {type(error) for error in heard} == {ZeroDivisionError}


async def test_mistaken_probe(
    own_valkey: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A mistake of ours in a probe is heard of, once, and does not end the probes."""
    async with worker(own_valkey.url, prepared(own_valkey)) as work:
        with monkeypatch.context() as faulty:
            faulty.setattr(Line, "open", invalid)
            assert await work.look(1) == [("reported", Source.LEDGER)]
            assert work.reader.resting
            faulty.setattr(Line, "open", mistaken)
            await asyncio.sleep(0.1)  # ten probes
        await until_redis_answers(work)
    assert [told.exc_info[0] for told in caplog.records if told.exc_info] == [ZeroDivisionError]


async def test_hung_ledger(own_valkey: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the ledger hangs and the host's position moves on, all who wait are refused together: none waits for the
    others' time-outs."""
    monkeypatch.setattr(lookup, "LEDGER_TIMEOUT", 0.1)
    asked = 0

    async def confirm(_: Sequence[bytes], __: Position) -> Mapping[bytes, Record] | None:
        nonlocal asked
        asked += 1
        await asyncio.Event().wait()
        raise AssertionError

    async with worker(own_valkey.url, confirm=confirm) as work:
        work.exact.distrusted = True
        waiting = []
        for seq in range(1, 21):
            work.position = at(seq)
            waiting.append(asyncio.ensure_future(work.look(1)))
            await asyncio.sleep(0)
        told = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(outcome) for outcome in told} == {FreshnessUnproven}
        assert asked <= 2 * lookup.LEDGER_AT_ONCE


async def test_ledger_gave_up(own_valkey: Server) -> None:
    """A question that somebody cancelled at the ledger is no answer, and is told."""

    async def confirm(_: Sequence[bytes], __: Position) -> Mapping[bytes, Record] | None:
        raise asyncio.CancelledError

    async with worker(own_valkey.url, confirm=confirm) as work:
        work.exact.distrusted = True
        with pytest.raises(FreshnessUnproven):
            await asyncio.wait_for(work.look(1), 10)


async def test_never_there(own_valkey: Server) -> None:
    """A worker that starts while Redis is away answers from the ledger, and finds Redis later."""
    own_valkey.kill()
    async with worker(own_valkey.url, Ledger({1: record(9_000)})) as work:
        assert await work.look(1, 2) == [("reported", Source.LEDGER), ("clear", Source.LEDGER)]
        own_valkey.start()
        prepared(own_valkey)
        await until_redis_answers(work)


async def test_loading(own_valkey: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that still reads its file is up, and says how far it is; the ledger answers until it has read it."""
    known = prepared(own_valkey)
    with open_client(own_valkey.url) as client:
        for number in range(2_000):
            client.set(f"other {number}", "x" * 100)
        client.save()
    own_valkey.kill()
    slow = {"key-load-delay": "2000", "loading-process-events-interval-bytes": "1024"}
    monkeypatch.setattr(valkey, "SETTINGS", valkey.SETTINGS | slow)
    own_valkey.start()
    asked = open_async_client(own_valkey.url)
    told = await registry_state(asked)
    assert (told["ok"], told["doing"]) == (True, "loading")
    assert 0 <= told["done"] < told["total"]
    async with worker(own_valkey.url, known) as work:
        assert (await work.look(1))[0][1] is Source.LEDGER
        await until_redis_answers(work)
    assert await registry_state(asked) == {"ok": True, "doing": "in_service"}
    await asked.aclose()
