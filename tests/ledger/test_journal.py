"""The journal: every line is committed or counted as lost, and the answer never waits for it."""

import time
from collections.abc import Callable
from hashlib import sha256

from psycopg.conninfo import make_conninfo

from lostid.ledger.journal import JournalWriter
from lostid.ledger.lines import Line, Lines
from lostid.ledger.pool import connect
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
        for n in range(9_000):
            journal.put(line(n, at_ms=NOW_MS))
        assert await journal.flush(10)
    assert [one.item for one in stored(conn)] == list(range(9_000))
    assert journal.written == 9_000


def batch(size: int) -> tuple[Lines, list[Line]]:
    """The same lines, as those of a batch and one by one; each third number was refused."""
    ones = [line(n, at_ms=NOW_MS)._replace(id="chk_b", seq=7) for n in range(size)]
    ones = [one._replace(doc_key=None, status="length", reference=None) if one.item % 3 == 2 else one for one in ones]
    one = ones[0]
    items = [(each.doc_key, each.status, each.reference) for each in ones]
    return Lines(NOW_MS, one.id, one.key_id, one.org, one.operator, one.purpose, one.seq, items), ones


async def test_batch(ledger_dsn: str, conn: Conn) -> None:
    """The lines of a batch are those that its documents would leave one by one."""
    lines, ones = batch(5)
    async with JournalWriter(ledger_dsn) as journal:
        assert journal.put_all(lines)
        assert await journal.flush(10)
    assert stored(conn) == ones
    assert (journal.written, journal.lost, journal.waiting) == (5, 0, 0)


async def test_batch_too_large(ledger_dsn: str, conn: Conn) -> None:
    """Of a batch for which there is not enough room the first lines arrive, and the others are counted."""
    lines, ones = batch(9)
    async with JournalWriter(ledger_dsn, capacity=7) as journal:
        assert journal.put(ones[0]._replace(item=-1))
        assert not journal.put_all(lines)
        assert not journal.put_all(lines)
        assert (journal.waiting, journal.lost) == (7, 12)
        assert await journal.flush(10)
    assert stored(conn)[1:] == ones[:6]
    assert (journal.written, journal.lost, journal.waiting) == (7, 12, 0)


def plan(conn: Conn, key: bytes) -> tuple[int, int]:
    """Of a search by document key: lines found, and lines read for nothing."""
    search = "EXPLAIN (ANALYZE, FORMAT JSON) SELECT FROM journal WHERE doc_key = %s"
    (told,) = conn.execute(search, [key]).fetchone() or ([],)
    (root,) = (each["Plan"] for each in told)
    parts = root.get("Plans", []) if root["Node Type"] == "Append" else [root]
    in_vain = ("Rows Removed by Index Recheck", "Rows Removed by Filter")
    return root["Actual Rows"], sum(part.get(name, 0) for part in parts for name in in_vain)


def test_search(new_ledger: Callable[[], str]) -> None:
    """Who asked about a document is found: among the newest lines by reading them, among older ones past nearly all."""
    lines = 12_000
    with connect(new_ledger(), name="test") as conn:
        conn.execute(
            """
            INSERT INTO journal SELECT now(), n, 1, substr(sha256(int4send(n)), 1, 16), 'chk_' || n, 'key_1', 'hotel',
                                       'desk-3', 'hotel.check_in', 'clear', repeat('r', 60)
              FROM generate_series(1, %s) n
            """,
            [lines],
        )
        key, nobody = sha256((77).to_bytes(4)).digest()[:16], bytes(16)
        assert plan(conn, nobody) == (0, lines)
        conn.execute(
            """
            SELECT brin_summarize_new_values(indexrelid) FROM pg_index JOIN pg_inherits ON indrelid = inhrelid
             WHERE inhparent = 'journal'::regclass
            """
        )
        conn.execute("SET enable_seqscan = off")  # keys in no order make the planner read all
        for asked, found in ((key, 1), (nobody, 0)):
            lines_found, in_vain = plan(conn, asked)
            assert lines_found == found
            assert in_vain < lines / 2


def test_days_are_not_sampled(new_ledger: Callable[[], str]) -> None:
    """Neither those that were there nor those that come: a worker on the same core would stand still meanwhile."""
    with connect(new_ledger(), name="test") as conn:
        conn.execute("SELECT journal_ahead(30)")
        settings = conn.execute(
            """
            SELECT DISTINCT reloptions FROM pg_class JOIN pg_inherits ON oid = inhrelid
             WHERE inhparent = 'journal'::regclass
            """
        ).fetchall()
    (options,) = (set(options) for (options,) in settings)
    assert options == {"autovacuum_vacuum_insert_threshold=-1", "autovacuum_analyze_threshold=2147483647"}


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


async def test_bad_line_among_many(ledger_dsn: str, conn: Conn) -> None:
    """It takes along those of its transaction, and not all that waited."""
    async with JournalWriter(ledger_dsn) as journal:
        for n in range(12_000):
            journal.put(line(n, at_ms=NOW_MS if n < 11_999 else 0))
        assert await journal.flush(10)
    assert journal.written >= 8_000
    assert (journal.written + journal.lost, journal.waiting) == (12_000, 0)
    assert [one.item for one in stored(conn)] == list(range(journal.written))


async def test_no_journal(new_ledger: Callable[[], str]) -> None:
    """What is wrong with the journal itself is no fault of the lines: they wait until it is put right."""
    dsn = new_ledger()
    with connect(dsn, name="test") as conn:
        async with JournalWriter(dsn) as journal:
            conn.execute("ALTER TABLE journal RENAME TO elsewhere")
            journal.put(line(0, at_ms=NOW_MS))
            assert not await journal.flush(0.5)
            assert (journal.waiting, journal.lost) == (1, 0)
            conn.execute("ALTER TABLE elsewhere RENAME TO journal")
            assert await journal.flush(10)
        assert [one.item for one in stored(conn)] == [0]


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


async def test_summaries(new_ledger: Callable[[], str]) -> None:
    """The index has a summary of each range of pages that is full, and none of the one that lines still come to: each
    of them would rewrite it."""
    dsn = new_ledger()
    async with JournalWriter(dsn) as journal:
        for n in range(32_000):
            journal.put(line(n, at_ms=NOW_MS, key=doc_key(f"{n}")))
            if n % 8_000 == 0:
                assert await journal.flush(10)
    assert journal.lost == 0
    with connect(dsn, name="test") as conn:
        rows = conn.execute(
            """
            SELECT brin_summarize_range(indexrelid::regclass, place * 64)
              FROM pg_index JOIN pg_inherits ON indrelid = inhrelid,
                   generate_series(0, pg_relation_size(indrelid) / 8192 / 64) place
             WHERE inhparent = 'journal'::regclass AND pg_relation_size(indrelid) > 0 ORDER BY place
            """
        )
        made_now = [made for (made,) in rows]
    assert len(made_now) > 5
    assert (made_now[:-2], made_now[-1]) == ([0] * (len(made_now) - 2), 1)
