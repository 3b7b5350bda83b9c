"""The journal: every line is committed or counted as lost, and the answer never waits for it."""

import time

from psycopg.conninfo import make_conninfo

from lostid.ledger.journal import JournalWriter
from lostid.ledger.lines import Line
from lostid.ledger.statement import Conn
from tests.ledger.making import doc_key, line

NOW_MS = time.time_ns() // 1_000_000


def stored(conn: Conn) -> list[Line]:
    rows = conn.execute(
        """
        SELECT (extract(epoch FROM at) * 1000)::bigint,
               id, item, doc_key, key_id, org, operator, purpose, reference, status, seq
          FROM journal ORDER BY item
        """
    )
    return [Line(*row) for row in rows]


async def test_lines(ledger_dsn: str, conn: Conn) -> None:
    """Lines arrive as they were put, in whatever language, with and without key and reference."""
    lines = [
        line(0, at_ms=NOW_MS, key=doc_key("a")),
        line(1, at_ms=NOW_MS + 1)._replace(doc_key=None, status="check_digit"),
        line(2, at_ms=NOW_MS + 2)._replace(reference=None, operator="前台三号", seq=2**40),
    ]
    async with JournalWriter(ledger_dsn) as journal:
        assert all(journal.put(one) for one in lines)
        assert await journal.flush(10)
    assert stored(conn) == lines
    assert (journal.written, journal.lost, journal.waiting) == (3, 0, 0)


async def test_many(ledger_dsn: str, conn: Conn) -> None:
    """More lines than a batch holds arrive all, in their order."""
    async with JournalWriter(ledger_dsn) as journal:
        for n in range(1234):
            journal.put(line(n, at_ms=NOW_MS))
        assert await journal.flush(10)
    assert [one.item for one in stored(conn)] == list(range(1234))
    assert journal.written == 1234


async def test_full(ledger_dsn: str, conn: Conn) -> None:
    """A line that finds no room is refused and counted; the others arrive."""
    async with JournalWriter(ledger_dsn, capacity=5) as journal:
        assert [journal.put(line(n, at_ms=NOW_MS)) for n in range(8)] == [True] * 5 + [False] * 3
        assert await journal.flush(10)
        assert (journal.written, journal.lost) == (5, 3)
        assert journal.put(line(8, at_ms=NOW_MS))
        assert await journal.flush(10)
    assert [one.item for one in stored(conn)] == [0, 1, 2, 3, 4, 8]


async def test_broken_connection(ledger_dsn: str, conn: Conn) -> None:
    """Lines put while the connection breaks arrive over the next one."""
    async with JournalWriter(ledger_dsn) as journal:
        journal.put(line(0, at_ms=NOW_MS))
        assert await journal.flush(10)
        conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lostid-journal'")
        journal.put(line(1, at_ms=NOW_MS))
        assert await journal.flush(10)
    assert [one.item for one in stored(conn)] == [0, 1]
    assert (journal.written, journal.lost) == (2, 0)


async def test_ledger_away(ledger_dsn: str) -> None:
    """While the ledger is away lines wait; those that it never takes are counted when the writer closes."""
    async with JournalWriter(make_conninfo(ledger_dsn, dbname="away")) as journal:
        journal.put(line(0, at_ms=NOW_MS))
        assert not await journal.flush(0.3)
        assert (journal.waiting, journal.written) == (1, 0)
    assert (journal.written, journal.lost, journal.waiting) == (0, 1, 0)


async def test_impossible_line(ledger_dsn: str, conn: Conn) -> None:
    """A batch that the ledger refuses, or that cannot be written down, is counted and does not hold up the next."""
    async with JournalWriter(ledger_dsn) as journal:
        for lost, bad in enumerate((line(0, at_ms=0), line(1, at_ms=NOW_MS)._replace(operator="\ud800")), start=1):
            journal.put(bad)
            assert await journal.flush(10)
            assert journal.lost == lost
        journal.put(line(2, at_ms=NOW_MS))
        assert await journal.flush(10)
    assert [one.item for one in stored(conn)] == [2]
