"""What is kept only for a while goes, and nothing else."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from lostid.ledger.care import AHEAD, DROP, care
from lostid.ledger.journal import JournalWriter
from lostid.ledger.pool import LedgerPool
from lostid.ledger.statement import Conn
from lostid.ledger.writes import Recorded, record
from tests.ledger.making import line, report, until, verified_chain, write_key
from tests.ledger.test_journal import NOW_MS


@pytest.fixture
def ledger_dsn(new_ledger: Callable[[], str]) -> str:
    return new_ledger()


async def test_forgetting(pool: LedgerPool, conn: Conn) -> None:
    """Idempotency keys go after 40 days, operators' rations after a week; entries stay."""
    old, young = write_key("old"), write_key("young")
    for key, name in ((old, "old"), (young, "young")):
        assert isinstance(await pool.write(record, key, report(name)), Recorded)
    conn.execute("UPDATE writes SET created_at = now() - interval '41 days' WHERE idem_key = %s", [old.idem_key])
    conn.execute("UPDATE writes SET created_at = now() - interval '39 days' WHERE idem_key = %s", [young.idem_key])
    for days in (6, 9):
        day = "INSERT INTO lookups VALUES ('live', 'police', 'officer-1', now() - make_interval(days => %s), '{}')"
        conn.execute(day, [days])
    await pool.write(care, 400)
    assert conn.execute("SELECT idem_key FROM writes").fetchall() == [(young.idem_key,)]
    assert conn.execute("SELECT count(*) FROM lookups").fetchone() == (1,)
    assert len(verified_chain(conn)) == 4


async def test_partitions(ledger_dsn: str, conn: Conn) -> None:
    """A writer makes the coming days ahead and drops those past their time; a day has a partition of its own."""
    today = datetime.now(UTC).date()
    old = (today - timedelta(days=31)).strftime("journal_%Y%m%d")
    kept = (today - timedelta(days=30)).strftime("journal_%Y%m%d")
    for name, days in ((old, 31), (kept, 30)):
        conn.execute(f"CREATE TABLE {name} (LIKE journal)".encode())
        bounds = f"FROM ('{today - timedelta(days=days)}') TO ('{today - timedelta(days=days - 1)}')"
        conn.execute(f"ALTER TABLE journal ATTACH PARTITION {name} FOR VALUES {bounds}".encode())
    async with JournalWriter(ledger_dsn, keep_days=30) as journal:
        journal.put(line(0, at_ms=NOW_MS))
        assert await journal.flush(10)
        await until(lambda: conn.execute("SELECT to_regclass(%s)", [old]).fetchone() == (None,))
    rows = conn.execute("SELECT relname FROM pg_class WHERE relname ~ '^journal_[0-9]+$' AND relkind = 'r' ORDER BY 1")
    ahead = [(today + timedelta(days=days)).strftime("journal_%Y%m%d") for days in range(-1, 4)]
    assert [row[0] for row in rows] == [kept, *ahead]
    assert conn.execute("SELECT tableoid::regclass::text FROM journal").fetchall() == [(ahead[1],)]


async def test_partitions_at_once(pool: LedgerPool, conn: Conn) -> None:
    """Workers that make or drop partitions at the same time do not fall over one another."""
    made = await asyncio.gather(*(pool.write(AHEAD.arun, {"days": 5}) for _ in range(4)))
    assert sorted(made) == [0, 0, 0, 2]
    dropped = await asyncio.gather(*(pool.write(DROP.arun, {"keep_days": 0}) for _ in range(4)))
    assert sorted(dropped) == [0, 0, 0, 1]
