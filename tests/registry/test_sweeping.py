"""All of Redis compared with the ledger: whatever somebody with access to Redis changes is found, named and mended."""

import random
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from lostid.domain.covers import Effect
from lostid.ledger import covers, entries, outline, sweeps
from lostid.ledger.pool import connect
from lostid.ledger.statement import Conn
from lostid.registry import looks
from lostid.registry.buckets import Layout
from lostid.registry.client import open_client
from lostid.registry.digest import SetDigest
from lostid.registry.keys import HEAD
from lostid.registry.writer import Writer
from lostid.replication import records
from lostid.replication.books import Books
from lostid.replication.relay import Relay
from lostid.replication.sweeping import Restart, Sweeper, planned_s
from tests.registry.ledgers import Ledger, begin, contents, contents_of, expected, opened
from tests.registry.making import TAG_KEY, key, place, stored
from tests.registry.tampering import delete, forge, put_back_older, swap
from tests.registry.test_relay import run_down

KEYS = (TAG_KEY, bytes(32), bytes(range(1, 33)))


@pytest.fixture(scope="module")
def dsn(postgres_dsn: str) -> str:
    """A ledger that grows from test to test."""
    begin(postgres_dsn)
    with opened(postgres_dsn) as ledger:
        ledger.grow(80)
    return postgres_dsn


@pytest.fixture
def ledger(dsn: str) -> Iterator[Ledger]:
    """As if it had never been compared."""
    with opened(dsn) as ledger:
        ledger.conn.execute("DELETE FROM registry_sweep")
        ledger.conn.execute("DELETE FROM registry_alarms")
        yield ledger


@pytest.fixture
def connected(ledger: Ledger, valkey_url: str) -> Iterator[tuple[Any, Any]]:
    with ExitStack() as stack:
        dsn = ledger.conn.info.dsn
        yield stack.enter_context(connect(dsn, name="test-sweep")), stack.enter_context(open_client(valkey_url))


@pytest.fixture
def relay(writer: Writer, connected: tuple[Any, Any]) -> Relay:
    relay = Relay(*connected, TAG_KEY)
    run_down(relay)
    return relay


@pytest.fixture
def sweeper(relay: Relay, connected: tuple[Any, Any]) -> Sweeper:
    """One that has seen everything and found it right."""
    sweeper = Sweeper(*connected, KEYS)
    swept(sweeper)
    assert sweeper.clean
    return sweeper


def swept(sweeper: Sweeper) -> int:
    """How many records were found wrong in one round."""
    before = sweeper.faults
    for _ in sweeper.round():
        pass
    return sweeper.faults - before


def alarms(ledger: Ledger) -> set[tuple[bytes, str]]:
    rows = ledger.conn.execute("SELECT place, what FROM registry_alarms WHERE cleared_at IS NULL").fetchall()
    return {(bytes(row[0]), row[1]) for row in rows}


def as_the_ledger_says(ledger: Ledger, writer: Writer) -> bool:
    return contents(writer) == contents_of(expected(ledger), writer.head().bits)


CHANGES = {"rolled_back": put_back_older, "deleted": delete, "forged": forge}


@pytest.mark.parametrize("what", CHANGES)
def test_found(what: str, ledger: Ledger, relay: Relay, sweeper: Sweeper, writer: Writer) -> None:
    """One record among all of them: named, mended, and the alarm stands until a whole round was clean."""
    ledger.report(100, 7_500)
    run_down(relay)
    assert swept(sweeper) == 0
    CHANGES[what](ledger, writer, 100, relay)
    assert swept(sweeper) == 1
    assert alarms(ledger) == {(key(100)[:12], what)}
    assert not sweeper.clean
    assert as_the_ledger_says(ledger, writer)
    assert swept(sweeper) == 0
    assert sweeper.clean
    sweeper.clear()
    assert alarms(ledger) == set()


def test_swapped_and_extra(ledger: Ledger, relay: Relay, sweeper: Sweeper, writer: Writer) -> None:
    """Another card's record, one for a document that nobody reported, a field that is no document's."""
    for number in (200, 201):
        ledger.report(number, 7_500)
    run_down(relay)
    swap(ledger, writer, 201, relay)
    swap(ledger, writer, 300, relay)
    writer.client.hset(Layout(8).name(7), b"nonsense", b"x")
    assert swept(sweeper) == 3
    assert alarms(ledger) == {(key(201)[:12], "forged"), (key(300)[:12], "extra"), (b"", "extra")}
    assert as_the_ledger_says(ledger, writer)


def test_undone_withdrawal(ledger: Ledger, relay: Relay, sweeper: Sweeper, writer: Writer) -> None:
    """The record of a report that was withdrawn, put back: a card that nobody reports any more is not refused."""
    ledger.report(100, 7_500)
    run_down(relay)
    value = stored(writer, 100)
    ledger.withdraw(100)
    run_down(relay)
    assert (stored(writer, 100), swept(sweeper)) == (None, 0)
    writer.client.hset(*place(writer, 100), value)
    assert swept(sweeper) == 1
    assert alarms(ledger) == {(key(100)[:12], "rolled_back")}
    assert stored(writer, 100) is None


def test_change_that_never_came(ledger: Ledger, relay: Relay, sweeper: Sweeper, writer: Writer) -> None:
    """The bucket looks as it did when it was last right, because the entry's write to it was undone at once."""
    ledger.report(100, 7_000)
    run_down(relay)
    assert swept(sweeper) == 0
    bucket, _ = place(writer, 100)
    before: Any = writer.client.dump(bucket)
    ledger.report(100, 8_000)
    run_down(relay)
    writer.client.restore(bucket, 0, before, replace=True)
    assert swept(sweeper) == 1
    assert alarms(ledger) == {(key(100)[:12], "rolled_back")}


def test_many_at_once(ledger: Ledger, relay: Relay, sweeper: Sweeper, writer: Writer) -> None:
    """Every older record that there is, put back together, comes to no equal sum."""
    older: dict[int, bytes] = {}
    for number in range(50):
        ledger.report(1_000 + number, 7_000)
    run_down(relay)
    for number in range(50):
        value = stored(writer, 1_000 + number)
        assert value is not None
        older[1_000 + number] = value
        ledger.report(1_000 + number, 8_000)
    run_down(relay)
    for number, value in older.items():
        writer.client.hset(*place(writer, number), value)
    assert swept(sweeper) == 50
    assert as_the_ledger_says(ledger, writer)


def test_in_the_middle_of_writing(ledger: Ledger, relay: Relay, sweeper: Sweeper, writer: Writer) -> None:
    """Entries between any two steps of a round are no fault, and hide none."""
    choose = random.Random(3)
    for turn in range(6):
        for step, _ in enumerate(sweeper.round()):
            if choose.random() < 0.5:
                ledger.grow(1)
                run_down(relay)
            if turn == 4 and step == 0:
                put_back_older(ledger, writer, 400, relay)
        assert sweeper.faults == (0 if turn < 4 else sweeper.faults)
    swept(sweeper)
    assert sweeper.faults == 1
    assert as_the_ledger_says(ledger, writer)


def test_next_sweeper(
    ledger: Ledger, relay: Relay, sweeper: Sweeper, writer: Writer, connected: tuple[Any, Any], monkeypatch: Any
) -> None:
    """The kept total, moved on by the entries since, proves all of Redis: the ledger is not asked record by record."""
    sweeper.keep(5)
    ledger.grow(30)
    run_down(relay)
    asked, asking = list[bytes](), outline.between

    def noted(conn: Conn, first: bytes, last: bytes, seq: int, hash_: bytes) -> list[bytes] | None:
        asked.append(first)
        return asking(conn, first, last, seq, hash_)

    monkeypatch.setattr(outline, "between", noted)
    after = Sweeper(*connected, KEYS)
    assert (swept(after), after.clean, asked) == (0, True, [])

    put_back_older(ledger, writer, 100, relay)  # while nobody swept
    later = Sweeper(*connected, KEYS)
    assert (swept(later), later.clean) == (0, False)
    assert swept(later) == 1
    assert len(asked) >= 1 << Layout(8).bits
    assert swept(later) == 0
    assert later.clean


def test_kept_total_of_somebody_else(
    ledger: Ledger, relay: Relay, sweeper: Sweeper, connected: tuple[Any, Any]
) -> None:
    """A row in the ledger that was made up, or moved to another entry, is worth nothing; nor is one of a lost tail."""
    sweeper.keep(5)
    ledger.conn.execute(
        "UPDATE registry_sweep s SET (seq, hash) = (SELECT e.seq, e.hash FROM entries e WHERE e.seq = s.seq - 1)"
    )
    after = Sweeper(*connected, KEYS)
    assert (swept(after), after.clean) == (0, True)
    ledger.conn.execute("UPDATE registry_sweep SET hash = decode(repeat('00', 32), 'hex')")
    assert sweeps.KEPT.run(ledger.conn) is None


def test_new_layout_and_empty(ledger: Ledger, relay: Relay, sweeper: Sweeper, writer: Writer) -> None:
    """While Redis is empty or filled there is nothing to compare; afterwards the totals agree again."""
    writer.client.flushall()
    with pytest.raises(Restart):
        swept(sweeper)
    run_down(relay)
    assert (swept(sweeper), sweeper.clean) == (0, True)
    writer.client.hset(HEAD, "bits", "9")
    swept(sweeper)
    assert not sweeper.clean


def test_no_hash_and_too_many(ledger: Ledger, relay: Relay, sweeper: Sweeper, writer: Writer) -> None:
    """A bucket that is something else, or holds hundreds of strangers: all is filled anew."""
    for spoil in ("string", "strangers"):
        bucket = Layout(8).name(3)
        writer.client.delete(bucket)
        if spoil == "string":
            writer.client.set(bucket, "x")
        else:
            writer.client.hset(bucket, mapping={f"{n:011d}": "x" for n in range(300)})
        with pytest.raises(Restart):
            swept(sweeper)
        assert writer.head().position is None
        assert (b"", "bucket") in alarms(ledger)
        run_down(relay)
        assert as_the_ledger_says(ledger, writer)
        assert swept(sweeper) == 0


def test_stale_redis(ledger: Ledger, relay: Relay, sweeper: Sweeper, writer: Writer) -> None:
    """Redis as it was some entries ago (a replica took over): no alarm, and once the relay was there, nothing wrong."""
    before = writer.client.hgetall(HEAD)
    kept = {name: writer.client.dump(name) for name in writer.client.keys("*")}
    ledger.grow(10)
    run_down(relay)
    assert swept(sweeper) == 0
    writer.client.flushall()
    for name, value in kept.items():
        writer.client.restore(name, 0, value)  # type: ignore[arg-type]
    assert writer.client.hgetall(HEAD) == before
    assert (swept(sweeper), sweeper.clean) == (0, False)
    run_down(relay)
    assert (swept(sweeper), sweeper.clean) == (0, True)


def test_other_chain(ledger: Ledger, relay: Relay, sweeper: Sweeper, writer: Writer) -> None:
    """A head that is not on the ledger's chain is the relay's affair: nothing is compared with it."""
    writer.client.hset(HEAD, "hash", b"\x01" * 32)
    with pytest.raises(Restart):
        swept(sweeper)
    run_down(relay)
    assert (swept(sweeper), sweeper.clean) == (0, True)


def test_fingerprints_and_contents(relay: Relay, writer: Writer) -> None:
    """A bucket's fingerprint is the same read alone or among others, and another for any other contents."""
    layout = Layout(8)
    many = looks.fingerprints(writer, layout, 0, 256)
    assert many is not None
    parts = [many.joined[at * 20 : at * 20 + 20] for at in range(256)]
    held = [looks.bucket(writer, layout, index) for index in range(256)]
    assert [one.fingerprint for one in held if one is not None] == parts
    by_contents = {tuple(one.records.items()): part for one, part in zip(held, parts, strict=True) if one is not None}
    assert len(set(by_contents.values())) == len(by_contents)


def test_books_follow_entries(ledger: Ledger) -> None:
    """Moved entry by entry, each bucket's sum and the total are what the whole ledger comes to."""
    digest, books = SetDigest(bytes(32)), Books(Layout(8), 0)
    for bucket in range(256):
        books.learn(bucket, 0)
    for entry in entries.read_after(ledger.conn, 0, 1_000):
        for one in entry.keys:
            before, after = _around(ledger, one, entry.seq)
            books.move(Layout(8).index(one), digest.of(one[:12], before), digest.of(one[:12], after))
    want = expected(ledger)
    assert books.total == books.sum_of_all() == digest.of_all((one[:12], value) for one, value in want.items())
    for bucket in range(256):
        held = [(one[:12], value) for one, value in want.items() if Layout(8).index(one) == bucket]
        assert books.sum(bucket) == digest.of_all(held)


def _around(ledger: Ledger, one: bytes, seq: int) -> tuple[bytes | None, bytes | None]:
    effects: list[Effect] = covers.effects_upto(ledger.conn, [one], seq)[one]
    return tuple(records.value_after(one, [e for e in effects if e.seq <= at], TAG_KEY) for at in (seq - 1, seq))  # type: ignore[return-value]


def test_pace() -> None:
    """Two rounds are over within 5 s up to a million records; beyond, a record more never takes a round less."""
    assert planned_s(0) == planned_s(1_000) == 2.0
    assert 2 * planned_s(1_000_000) < 5.0
    assert planned_s(10_000_000) == pytest.approx(41.8)
    paces = [planned_s(n) for n in range(0, 20_000_000, 100_000)]
    assert paces == sorted(paces)
