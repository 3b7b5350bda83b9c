"""Effects and records as they are read: exactly, as of an entry, and proved to be from a ledger that contains it."""

from lostid.domain.covers import Action, Effect
from lostid.ledger import covers, doc_keys, entries
from lostid.ledger.entries import Draft
from lostid.ledger.pool import LedgerPool
from lostid.ledger.snapshot import count_keys, effects_by_key, snapshot
from lostid.ledger.statement import Conn
from tests.ledger.making import CANARIES, doc_key, report, through

A, B, NONE = doc_key("a"), doc_key("b"), doc_key("none")


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
    """A snapshot is the ledger as of its head, in the order of the keys, on pages of any size, whatever is appended."""
    documents = [doc_key(str(n)) for n in range(25)]
    for n in range(25):
        await pool.write(entries.append, report(str(n), *documents[: n + 1]))
    head = entries.head(conn)
    expected = sorted([*documents, *CANARIES])
    with snapshot(conn) as at:
        await pool.write(entries.append, report("later", doc_key("later")))
        assert at == head
        assert count_keys(conn) == 27
        for page in (1, 7, 1000):
            read = list(effects_by_key(conn, page))
            assert [key for key, _ in read] == expected
            of_first = next(effects for key, effects in read if key == documents[0])
            assert [(effect.seq, effect.ordinal) for effect in of_first] == [(2 + n, 0) for n in range(25)]
    assert count_keys(conn) == 28


async def test_keys(pool: LedgerPool, conn: Conn) -> None:
    """The keys of a snapshot are all that any entry touched up to it, and none from after it."""
    head = await pool.write(entries.append, report("1", A, B))
    with doc_keys.snapshot(conn) as at:
        await pool.write(entries.append, report("later", NONE))
        assert (at.seq, at.hash) == (head.seq, head.hash)
        assert doc_keys.has(conn, at)
        packed = b"".join(part for _, part in doc_keys.chunks(conn))
    assert {packed[i : i + 16] for i in range(0, len(packed), 16)} == {A, B, *CANARIES}
