"""The exact lookup: what Redis is believed, and what is asked of the ledger."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from lostid.registry.buckets import Layout
from lostid.registry.lookup import FreshnessUnproven, Source
from lostid.registry.writer import Writer, request_rebuild
from tests.registry.looking import Ledger, Worker, worker
from tests.registry.making import LAYOUT, at, filled, key, line, record, stored, value

REDIS, LEDGER = Source.REGISTRY, Source.LEDGER
NUMBERS = range(20)


@pytest.fixture
async def work(writer: Writer, valkey_url: str) -> AsyncIterator[Worker]:
    """Redis and the ledger agree: the numbers 0 to 19 are reported through day 9,000. The page is at entry 1."""
    filled(writer, at(1), NUMBERS)
    async with worker(valkey_url, Ledger({n: record(9_000) for n in NUMBERS})) as work:
        yield work


def calls(writer: Writer, command: str) -> int:
    return int(writer.client.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0))


async def test_found(work: Worker) -> None:
    """A record in Redis answers, and the ledger is not asked."""
    assert await work.look(1) == [("reported", REDIS)]
    assert await work.look(1, 2, day=9_001) == [("clear", REDIS), ("clear", REDIS)]
    assert work.ledger.asked == []


async def test_one_command(work: Worker, writer: Writer) -> None:
    """What is asked in one turn of the loop is one command, and what Redis lacks one question to the ledger."""
    await work.look(0)
    before = calls(writer, "evalsha_ro")
    found = await asyncio.gather(*(work.look(n, n + 100) for n in NUMBERS))
    assert found == [[("reported", REDIS), ("clear", LEDGER)]] * 20
    assert calls(writer, "evalsha_ro") - before == 1
    assert len(work.ledger.asked) == 1


async def test_large_batch(work: Worker, writer: Writer) -> None:
    """A batch larger than one script takes comes back whole and in order."""
    filled(writer, at(1), range(1_200))
    numbers = [*range(1_200), 5, 5, 1]
    assert await work.look(*numbers) == [("reported", REDIS)] * len(numbers)
    assert (await work.look(*range(1_190, 1_210)))[9:11] == [("reported", REDIS), ("clear", LEDGER)]


async def test_miss(work: Worker, writer: Writer) -> None:
    """A record that was deleted from Redis does not clear: the ledger is asked, and the relay is told."""
    writer.client.delete(LAYOUT.bucket(key(3)))
    assert await work.look(3) == [("reported", LEDGER)]
    assert await work.look(77) == [("clear", LEDGER)]
    assert work.exact.counts.lost == 1
    assert writer.doubted() == [key(3)]


async def test_tampered(work: Worker, writer: Writer) -> None:
    """A record with any byte changed is not believed: the ledger answers, the alarm counts, the relay is told."""
    good = value(4, 1)
    for place in range(len(good)):
        bad = bytearray(good)
        bad[place] ^= 0x20
        writer.client.hset(LAYOUT.bucket(key(4)), LAYOUT.field(key(4)), bytes(bad))
        assert await work.look(4) == [("reported", LEDGER)]
    assert work.exact.counts.tampered == len(good)
    assert await work.look(5) == [("reported", REDIS)]
    assert writer.doubted() == [key(4)]


async def test_swapped(work: Worker, writer: Writer) -> None:
    """Another document's record, though genuine, is not believed."""
    writer.client.hset(LAYOUT.bucket(key(4)), LAYOUT.field(key(4)), value(5, 1, through=1))
    assert await work.look(4) == [("reported", LEDGER)]
    assert work.exact.counts.tampered == 1


@pytest.mark.parametrize("seq", [0, 2])
async def test_unproven(work: Worker, seq: int) -> None:
    """Redis that is behind the reader, or was filled after him, is not believed about anything."""
    work.position = at(seq)
    assert await work.look(1, 50) == [("reported", LEDGER), ("clear", LEDGER)]
    assert work.exact.counts.unproven == 1


async def test_other_chain(work: Worker, writer: Writer) -> None:
    """A reader whose entry has the same number in another chain is answered by nobody who is not on his."""
    work.position = at(1, "other")
    with pytest.raises(FreshnessUnproven):
        await work.look(1)
    assert work.exact.counts.unproven == 1


async def test_stale_copy(work: Worker, writer: Writer) -> None:
    """A copy from before the reader's entry does not clear a card that the entry covers."""
    writer.append([line(2, {1: value(1, 2, through=9_500)})], LAYOUT)
    work.position = at(2)
    work.ledger.records[key(1)] = record(9_500)
    assert await work.look(1, day=9_400) == [("reported", REDIS)]
    filled(writer, at(1), NUMBERS)
    assert await work.look(1, day=9_400) == [("reported", LEDGER)]


async def test_each_his_position(work: Worker, writer: Writer) -> None:
    """Callers of one turn whose pages moved between them are each answered from what contains his own entry."""
    first = asyncio.ensure_future(work.look(1))
    await asyncio.sleep(0)
    work.position = at(2)
    second = asyncio.ensure_future(work.look(1))
    assert [await first, await second] == [[("reported", REDIS)], [("reported", LEDGER)]]


async def test_while_filling(work: Worker, writer: Writer) -> None:
    """An empty registry and one that is being filled prove nothing."""
    request_rebuild(writer.client)
    assert await work.look(1) == [("reported", LEDGER)]
    assert writer.wipe(writer.head(), LAYOUT, 0)
    assert await work.look(1) == [("reported", LEDGER)]


async def test_new_layout(work: Worker, writer: Writer) -> None:
    """A registry that was filled with other buckets is read as before."""
    for bits in (8, 13, 24, 0):
        filled(writer, at(1), NUMBERS, Layout(bits))
        assert await work.look(*NUMBERS) == [("reported", REDIS)] * 20


async def test_scripts_forgotten(work: Worker, writer: Writer) -> None:
    """A server that has forgotten the script is told it again."""
    await work.look(1)
    writer.client.script_flush()
    assert await work.look(1) == [("reported", REDIS)]


async def test_foreign_bucket(work: Worker, writer: Writer) -> None:
    """Somebody else's key in the place of a bucket is no answer, and does no harm to the questions after it."""
    writer.client.set(LAYOUT.bucket(key(6)), "foreign")
    assert await work.look(6) == [("reported", LEDGER)]
    assert await work.look(7) == [("reported", REDIS)]


async def test_ledger_away(work: Worker, writer: Writer) -> None:
    """What only the ledger could prove has no answer while it is away; what Redis proves has."""
    work.ledger.error = OSError("away")
    with pytest.raises(FreshnessUnproven):
        await work.look(50)
    with pytest.raises(FreshnessUnproven):
        await work.look(1, 50)
    assert await work.look(1) == [("reported", REDIS)]
    work.ledger.error = None
    work.ledger.head = 0
    with pytest.raises(FreshnessUnproven):
        await work.look(50)
    assert stored(writer, 50) is None
