"""Entries: gap-free, chained, and the source of what is derived from them."""

import asyncio
import json
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest

from lostid.domain.covers import Action, Cover, CoverKind, Effect
from lostid.ledger import bodies, entries
from lostid.ledger import pool as pools
from lostid.ledger.entries import Draft, chain_hash, is_auth_event
from lostid.ledger.errors import LedgerError, LedgerFault
from lostid.ledger.pool import LedgerPool
from lostid.ledger.statement import Conn
from lostid.ledger.writes import Recorded, record
from tests.ledger.making import doc_key, report, verified_chain, write_key

SPECIMEN = Path(__file__).parent / "specimens" / "entry-body-v1.json"


async def test_eight_writers(pool: LedgerPool, conn: Conn) -> None:
    """Eight concurrent writers, some of which fail half-way, leave a whole chain without a gap."""

    async def write(writer: int) -> list[int]:
        seqs = []
        for n in range(12):
            if n % 4 == 3:
                with pytest.raises(LedgerError):  # a key of 3 bytes: refused after the head was moved
                    await pool.write(record, write_key(), report(f"bad-{writer}-{n}", b"bad"))
                continue
            name = f"{writer}-{n}"
            outcome = await pool.write(record, write_key(), report(name))
            assert isinstance(outcome, Recorded)
            seqs.append(outcome.appended.seq)
        return seqs

    seqs = [seq for written in await asyncio.gather(*(write(writer) for writer in range(8))) for seq in written]
    assert sorted(seqs) == list(range(2, 2 + 8 * 9))
    assert len(verified_chain(conn)) == 2 + 8 * 9


def test_first_entries(conn: Conn) -> None:
    """Entry 0 is genesis and names the ledger, entry 1 reports the canaries."""
    genesis, canary = verified_chain(conn)
    row = conn.execute("SELECT ledger_id::text FROM meta").fetchone()
    assert (genesis.kind, (genesis.id,), genesis.prev, genesis.effects) == ("genesis", row, bytes(32), ())
    assert (canary.seq, canary.kind, len(canary.keys)) == (1, "canary", 2)


async def test_appended(pool: LedgerPool, conn: Conn) -> None:
    """The reply says where the entry stands, and its hash is that of prev, place, time and body."""
    draft = report("a")
    appended = await pool.write(entries.append, draft)
    read = entries.at(conn, appended.seq)
    assert read is not None
    assert (read.seq, read.prev, read.hash, read.recorded_ms) == (2, appended.prev, appended.hash, appended.recorded_ms)
    assert appended.hash == chain_hash(appended.prev, 2, appended.recorded_ms, draft.body())
    assert (read.kind, read.id, read.body, read.facts) == ("report", "rpt_a", draft.body(), draft.facts)


async def test_clock_back(pool: LedgerPool, conn: Conn) -> None:
    """recorded_ms does not go back when the ledger's clock does."""
    future = entries.head(conn).recorded_ms + 30_000
    conn.execute("UPDATE head SET recorded_ms = %s", [future])
    first = await pool.write(entries.append, report("a"))
    second = await pool.write(entries.append, report("b"))
    assert (first.recorded_ms, second.recorded_ms) == (future, future)
    assert second.hash == chain_hash(first.hash, 3, future, report("b").body())


async def test_effects(pool: LedgerPool, conn: Conn) -> None:
    """Effects come back as they were given, of every action and shape, in their order; a sealed token is kept once."""
    a, b = doc_key("a"), doc_key("b")
    by_serial = Cover(CoverKind.ALL_BUT, None, b"8 bytes!", True, False, "replaced", 1_790_000_000_000)
    everything = Cover(CoverKind.ALL, None, None, True, True, "deceased", 0)
    effects = [
        Effect(a, 0, 0, Action.NARROW, "rpt_x", by_serial),
        Effect(a, 0, 0, Action.ADD, "rpt_x", everything),
        Effect(b, 0, 0, Action.WITHDRAW, "rpt_y", None),
        Effect(b, 0, 0, Action.QUARANTINE, "rpt_y", None),
    ]
    for sealed in (b"first", b"second"):
        await pool.write(entries.append, Draft("report.test", "rpt_x", {}, effects, {a: sealed}))
    *_, one, two = verified_chain(conn)
    expected = [Effect(e.key, 2, n, e.action, e.report_id, e.cover) for n, e in enumerate(effects)]
    assert list(one.effects) == expected
    assert [(e.seq, e.ordinal) for e in two.effects] == [(3, 0), (3, 1), (3, 2), (3, 3)]
    assert one.keys == [a, b]
    assert conn.execute("SELECT doc_key, sealed FROM sealed_tokens").fetchall() == [(a, b"first")]


def test_specimen() -> None:
    """A body of version 1 as it was written in November 2026 is still read, and would be written the same."""
    stored = SPECIMEN.read_bytes().rstrip(b"\n")
    told = bodies.decode(stored, 7)
    key = bytes(range(16))
    all_but = Cover(CoverKind.ALL_BUT, None, b"\xff" * 8, True, False, "replaced", 1)
    assert (told.kind, told.id, told.facts["org"]) == ("report", "rpt_specimen", "公安")
    assert told.effects == (
        Effect(key, 7, 0, Action.NARROW, "rpt_specimen", all_but),
        Effect(key, 7, 1, Action.ADD, "rpt_specimen", Cover(CoverKind.THROUGH, 12843, None, False, True, "lost", -1)),
        Effect(key, 7, 2, Action.WITHDRAW, "rpt_other", None),
    )
    assert bodies.encode(told.kind, told.id, told.facts, told.effects) == stored
    assert chain_hash(bytes(32), 7, 1_795_000_000_000, stored).hex() == (
        "f52cfd21456928f8f627cae0c184ea1c5d28352cb0ab7ed24cccc948c9dc69ed"
    )


def test_future_body() -> None:
    """A body of a version that is not known yet is a fault, not a guess."""
    with pytest.raises(LedgerFault, match="version 2"):
        bodies.decode(json.dumps({"v": 2}).encode(), 7)


async def test_reading_on(pool: LedgerPool, conn: Conn) -> None:
    """read_after gives what follows, in order and no more than asked for; nothing after the head."""
    for name in "abc":
        await pool.write(entries.append, report(name))
    assert [entry.id for entry in entries.read_after(conn, 1, 2)] == ["rpt_a", "rpt_b"]
    assert [entry.id for entry in entries.read_after(conn, 3, 2)] == ["rpt_c"]
    assert entries.read_after(conn, 4, 2) == []
    assert entries.at(conn, 5) is None


async def test_document_history(pool: LedgerPool) -> None:
    """The entries of a document are those that touch its key, oldest first."""
    a, b = doc_key("a"), doc_key("b")
    for name, keys in (("1", [a]), ("2", [b]), ("3", [b, a])):
        await pool.write(entries.append, report(name, *keys))
    history = await pool.read(entries.of_document, a, 0, 10)
    assert [entry.id for entry in history] == ["rpt_1", "rpt_3"]
    rest = await pool.read(entries.of_document, a, history[0].seq, 10)
    assert [entry.id for entry in rest] == ["rpt_3"]


async def test_notify(pool: LedgerPool, conn: Conn) -> None:
    """An append wakes who listens, also one that came while another statement ran; silence ends with the time."""
    pools.listen(conn, entries.CHANNEL)
    assert not pools.wait(conn, 0.01)
    await pool.write(entries.append, report("a"))
    assert await asyncio.to_thread(pools.wait, conn, 10)
    await pool.write(entries.append, report("b"))
    conn.execute("SELECT pg_sleep(0.05)")
    assert pools.wait(conn, 10)


@pytest.mark.parametrize("table", ["entries", "covers"])
@pytest.mark.parametrize("slip", ["UPDATE {} SET seq = 9", "DELETE FROM {}", "TRUNCATE {}"])
def test_append_only(conn: Conn, table: LiteralString, slip: LiteralString) -> None:
    """What was written is not changed and not deleted by a slip of the hand."""
    with pytest.raises(psycopg.errors.RaiseException):
        conn.execute(slip.format(table))


def test_auth_events() -> None:
    """Keys, stations and operators are what cached API keys depend on; reports are not."""
    kinds = ["key.created", "key.revoked", "station.closed", "operator.left", "report", "canary", "genesis", "keyring"]
    assert [is_auth_event(kind) for kind in kinds] == [True] * 4 + [False] * 4
