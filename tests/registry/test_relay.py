"""The relay between a real ledger and a real Redis, whatever becomes of either."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from lostid.domain.instance import Instance
from lostid.domain.position import Position
from lostid.domain.record import Record
from lostid.ledger import covers
from lostid.ledger.pool import aconnect, connect
from lostid.registry.client import open_client
from lostid.registry.keys import HEAD
from lostid.registry.lookup import Source
from lostid.registry.writer import Writer, request_rebuild
from lostid.replication.relay import Relay
from tests.conftest import NewDatabase, wait_for
from tests.registry.conftest import OwnValkey
from tests.registry.ledgers import Ledger, begin, contents, opened, same
from tests.registry.looking import worker
from tests.registry.making import LAYOUT, TAG_KEY, at, filled, flush, key, place


@pytest.fixture(scope="module")
def dsn(postgres_dsn: str) -> str:
    """A ledger that grows from test to test."""
    begin(postgres_dsn)
    return postgres_dsn


@pytest.fixture
def ledger(dsn: str) -> Iterator[Ledger]:
    with opened(dsn) as ledger:
        yield ledger


@pytest.fixture
def relays(dsn: str) -> Iterator[Callable[..., Relay]]:
    """Makes relays, each with connections of its own."""
    with ExitStack() as stack:

        def make(url: str, dsn: str = dsn, **given: Any) -> Relay:
            conn = stack.enter_context(connect(dsn, name="test-relay"))
            return Relay(conn, stack.enter_context(open_client(url)), TAG_KEY, **given)

        yield make


Make = Callable[..., Relay]


def run_down(relay: Relay) -> None:
    while relay.turn():
        pass


def test_follow(ledger: Ledger, writer: Writer, relays: Make, valkey_url: str) -> None:
    """From an empty Redis to the ledger's head, then entry by entry; filled or followed, the bytes are the same."""
    relay = relays(valkey_url)
    run_down(relay)
    assert same(ledger, writer)
    for _ in range(8):
        ledger.grow(25)
        run_down(relay)
        assert same(ledger, writer)
    followed = contents(writer)
    request_rebuild(writer.client)
    run_down(relay)
    assert same(ledger, writer)
    assert contents(writer) == followed


def test_flushed(ledger: Ledger, writer: Writer, relays: Make, valkey_url: str) -> None:
    """A flush at any time is made good."""
    relay = relays(valkey_url)
    for _ in range(5):
        ledger.grow(10)
        relay.turn()
        flush(writer.client)
        relay.turn()
    run_down(relay)
    assert same(ledger, writer)


def test_foreign(ledger: Ledger, writer: Writer, relays: Make, valkey_url: str) -> None:
    """A registry of another ledger, further on than ours, is wiped to the last record."""
    filled(writer, at(500), range(300, 400))
    ledger.grow(20)
    run_down(relays(valkey_url))
    assert same(ledger, writer)


def test_lost_tail(dsn: str, new_database: NewDatabase, writer: Writer, relays: Make, valkey_url: str) -> None:
    """Redis is ahead of a ledger that has lost its tail and gone on: what only the lost entries said is gone."""
    new = new_database(str(conninfo_to_dict(dsn)["dbname"]))
    with opened(new) as promoted, opened(dsn, seed=2) as deposed:
        deposed.grow(5)
        run_down(relays(valkey_url, dsn))
        assert same(deposed, writer)
        relay = relays(valkey_url, new)
        run_down(relay)
        assert same(promoted, writer)
        promoted.grow(7)
        run_down(relay)
        assert same(promoted, writer)


def test_older_copy(ledger: Ledger, own_valkey: OwnValkey, relays: Make) -> None:
    """Redis that comes back with what it had saved some time ago is brought up to date, not filled anew."""
    with open_client(own_valkey.url) as client:
        writer = Writer(client)
        ledger.grow(10)
        run_down(relays(own_valkey.url))
        client.save()
        ledger.grow(10)
        run_down(relays(own_valkey.url))
        own_valkey.kill()
        own_valkey.start()
        assert writer.head().position != ledger.head
        run_down(relays(own_valkey.url))
        assert same(ledger, writer)
        assert "cmdstat_unlink" not in client.info("commandstats")


def test_died_while_filling(ledger: Ledger, own_valkey: OwnValkey, relays: Make) -> None:
    """Redis died in the middle of a fill, and its filler with it: what it had saved is no registry, and another relay
    takes over, once it has seen that nothing moves."""
    with open_client(own_valkey.url) as client:
        writer = Writer(client)
        ledger.grow(10)
        run_down(relays(own_valkey.url))
        assert writer.wipe(writer.head(), LAYOUT, 10)
        client.save()
        own_valkey.kill()
        own_valkey.start()
        now = [0.0]
        relay = relays(own_valkey.url, patience=5.0, clock=lambda: now[0])
        assert not relay.turn()
        now[0] = 4.9
        assert not relay.turn()
        assert writer.head().phase == "filling"
        now[0] = 5.0
        run_down(relay)
        assert same(ledger, writer)


def test_two_in_turns(ledger: Ledger, writer: Writer, relays: Make, valkey_url: str) -> None:
    """Two relays that take turns in any order do what one does."""
    both = relays(valkey_url), relays(valkey_url)
    for step in range(60):
        ledger.grow(step % 3)
        both[step * step % 7 % 2].turn()
        if step % 20 == 13:
            request_rebuild(writer.client)
    run_down(both[0])
    assert not both[1].turn()
    assert same(ledger, writer)


def test_two_at_once(ledger: Ledger, writer: Writer, relays: Make, valkey_url: str) -> None:
    """Two relays at full speed, a writer, and flushes in between: at the end the registry is right."""
    over = threading.Event()
    failures: list[BaseException] = []

    def work(relay: Relay) -> None:
        try:
            while not over.is_set():
                relay.turn()
        except BaseException as error:  # reported by the test
            failures.append(error)

    threads = [threading.Thread(target=work, args=[relays(valkey_url, patience=0.05)]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for round_ in range(12):
        ledger.grow(12)
        if round_ % 3 == 1:
            flush(writer.client)
    wait_for(lambda: same(ledger, writer), 20, "both relays at the ledger's head")
    over.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert same(ledger, writer)


def test_layout_grows(ledger: Ledger, writer: Writer, relays: Make, valkey_url: str) -> None:
    """A registry with more records than its buckets are made for is filled anew with more buckets."""
    ledger.grow(30)
    relay = relays(valkey_url)
    run_down(relay)
    writer.client.hset(HEAD, "count", 60_000)
    run_down(relay)
    assert writer.head().bits == 9
    assert same(ledger, writer)


async def test_mended(ledger: Ledger, dsn: str, writer: Writer, relays: Make, valkey_url: str) -> None:
    """A damaged record and a lost one are answered by the ledger, and mended by the relay."""
    ledger.report(101, 9_000)
    position = ledger.report(102, 9_000)
    relay = relays(valkey_url)
    run_down(relay)
    good = contents(writer)
    writer.client.hset(*place(writer, 101), b"damaged, and longer than it was before")
    writer.client.hdel(*place(writer, 102))

    async with await aconnect(dsn, name="test") as conn:

        async def confirm(keys: Sequence[bytes], reader: Position) -> Mapping[bytes, Record] | None:
            return await covers.confirm(conn, keys, reader.seq, reader.hash)

        async with worker(valkey_url, confirm=confirm) as work:
            work.position = position
            found = await work.exact.of([key(101), key(102), key(103)])
            assert [one.source for one in found] == [Source.LEDGER] * 3
            card = Instance(days=(9_000,))
            assert [one.status(card) for one in found] == ["reported", "reported", "clear"]
            await work.exact.of([key(101)])  # what is doubted goes along with the next question
            assert relay.turn() is False
            assert contents(writer) == good
            assert writer.head().repaired == 2
            assert [one.source for one in await work.exact.of([key(101), key(102)])] == [Source.REGISTRY] * 2
