"""Effects and records as they are read: exactly, as of an entry, and proved to be from a ledger that contains it."""

from dataclasses import replace

from lostid.domain.covers import Action, Cover, CoverKind, Effect
from lostid.ledger import covers, doc_keys, entries, outline, tree
from lostid.ledger.entries import Draft
from lostid.ledger.pool import LedgerPool
from lostid.ledger.snapshot import count_keys, snapshot
from lostid.ledger.statement import Conn
from tests.ledger.making import CANARIES, doc_key, report, through

A, B, NONE = doc_key("a"), doc_key("b"), doc_key("none")
ALL_KEYS = bytes(16), b"\xff" * 16


async def test_confirm(pool: LedgerPool) -> None:
    """The record of every key asked for, folded; a key without effects has an empty one."""
    first = await pool.write(entries.append, report("1", A))
    second = await pool.write(entries.append, report("2", A, B))
    withdrawal = Draft("withdrawal", "wdr_1", {}, [Effect(A, 0, 0, Action.WITHDRAW, "rpt_1", None)])
    third = await pool.write(entries.append, withdrawal)
    for at in (first, second, third):
        records = await pool.read(covers.confirm, [A, B, NONE], at.seq, at.hash)
        assert records is not None
        assert records[A].covers == (("rpt_2", through(12_000)),)
        assert records[B].covers == (("rpt_2", through(12_000)),)
        assert not records[NONE]


async def test_confirm_unproved(pool: LedgerPool) -> None:
    """A server without the reader's entry proves nothing, whatever it holds."""
    at = await pool.write(entries.append, report("1", A))
    assert await pool.read(covers.confirm, [A], at.seq, b"another chain's hash............") is None
    assert await pool.read(covers.confirm, [A], at.seq + 1, at.hash) is None


async def test_row_from_the_future(pool: LedgerPool, conn: Conn) -> None:
    """A row that somebody wrote by hand under a number that no entry has yet takes nothing back: reading the entries
    again would not come upon it."""
    at = await pool.write(entries.append, report("1", A))
    conn.execute(
        "INSERT INTO covers (doc_key, seq, ordinal, action, report_id) VALUES (%s, %s, 0, 3, 'rpt_1')",
        (A, at.seq + 1_000_000),
    )
    records = await pool.read(covers.confirm, [A], at.seq, at.hash)
    assert records is not None
    assert records[A].covers == (("rpt_1", through(12_000)),)


async def test_as_of(pool: LedgerPool, conn: Conn) -> None:
    """Effects up to an entry leave out what came later; keys that nothing touched are absent."""
    first = await pool.write(entries.append, report("1", A))
    await pool.write(entries.append, report("2", A, B))
    then = await pool.read(covers.effects_of, [A, B, NONE], first.seq)
    now = await pool.read(covers.effects_of, [A, B, NONE])
    assert {key: [effect.report_id for effect in effects] for key, effects in then.items()} == {A: ["rpt_1"]}
    assert {key: sorted(effect.report_id for effect in effects) for key, effects in now.items()} == {
        A: ["rpt_1", "rpt_2"],
        B: ["rpt_2"],
    }
    assert covers.effects_upto(conn, [A, B, NONE], first.seq) == then


async def test_snapshot(pool: LedgerPool, conn: Conn) -> None:
    """An outline is the ledger as of its head, in the order of keys and entries, whatever is appended meanwhile; the
    lines of one key are never in two batches, however small those are."""
    documents = [doc_key(str(n)) for n in range(25)]
    for n in range(25):
        await pool.write(entries.append, report(str(n), *documents[: n + 1]))
    expected = {*documents, *CANARIES}
    for at_once in (1, 7, 26, 1000):
        head = entries.head(conn)
        with snapshot(conn) as at:
            later = doc_key(f"later {at_once}")
            await pool.write(entries.append, report(later.hex(), later))
            assert at == head
            assert count_keys(conn) == len(expected)
            batches = list(outline.batches(conn, at_once))
            between = outline.between(conn, *ALL_KEYS, at.seq, at.hash)
        keys = [{line[outline.KEY] for line in batch} for batch in batches]
        assert sum(map(len, keys)) == len(expected)
        assert set().union(*keys) == expected
        lines = [line for batch in batches for line in batch]
        assert lines == sorted(lines)
        assert lines == between
        of_first = [int.from_bytes(line[outline.SEQ]) for line in lines if line[outline.KEY] == documents[0]]
        assert of_first == [2 + n for n in range(25)]
        expected.add(later)
    head = entries.head(conn)
    assert outline.between(conn, *ALL_KEYS, head.seq, b"x" * 32) is None
    assert outline.between(conn, NONE, NONE, head.seq, head.hash) == []
    assert count_keys(conn) == len(expected)


async def test_outline(pool: LedgerPool, conn: Conn) -> None:
    """A line says of its effect what a packed record keeps; of one that adds no cover, nothing."""
    told = [
        Cover(CoverKind.ALL, None, None, True, True, "deceased", 5),
        Cover(CoverKind.THROUGH, 65_535, None, False, True, "lost", -5),
        Cover(CoverKind.ONLY, None, bytes(range(8)), True, False, "stolen", 0),
        Cover(CoverKind.ALL_BUT, None, b"\xff" * 8, False, True, "lost", 0),
    ]
    effects = [Effect(A, 0, 0, Action.ADD, "rpt_1", cover) for cover in told]
    effects.append(Effect(A, 0, 0, Action.NARROW, "rpt_1", told[1]))
    effects.append(Effect(A, 0, 0, Action.WITHDRAW, "rpt_0", None))
    at = await pool.write(entries.append, Draft("report", "rpt_1", {}, effects))
    with snapshot(conn):
        lines = [line for batch in outline.batches(conn) for line in batch if line[outline.KEY] == A]
    assert {int.from_bytes(line[outline.SEQ]) for line in lines} == {at.seq}
    kept = [replace(cover, open_ended=False, reason="", effective_at_ms=0) for cover in told]
    assert [outline.cover_of(line[outline.WHAT]) for line in lines] == [*kept, None, None]


async def test_keys(pool: LedgerPool, conn: Conn) -> None:
    """The keys of a snapshot are all that any entry touched up to it, and none from after it."""
    head = await pool.write(entries.append, report("1", A, B))
    with doc_keys.snapshot(conn) as at:
        await pool.write(entries.append, report("later", NONE))
        assert (at.seq, at.hash) == (head.seq, head.hash)
        assert doc_keys.has(conn, at)
        packed = b"".join(part for _, part in doc_keys.chunks(conn))
    assert {packed[i : i + 16] for i in range(0, len(packed), 16)} == {A, B, *CANARIES}


def test_effects_of_entries(conn: Conn) -> None:
    """Reading the entries again, a thousand in a turn, does not read the whole table for each of them."""
    conn.execute("SET enable_seqscan = off")  # so few rows are read as fast without an index
    told = conn.execute(f"EXPLAIN {tree.EFFECTS.sql}", {"after": 1_000, "upto": 2_000}).fetchall()
    assert any("covers_seq" in line for (line,) in told)
