"""Search and history are rationed and journalled."""

import asyncio
from datetime import date

from lostid.ledger import lookups
from lostid.ledger.pool import LedgerPool
from lostid.ledger.statement import Conn
from tests.ledger.making import doc_key, line
from tests.ledger.test_journal import NOW_MS, stored

TODAY, TOMORROW = date(2026, 11, 22), date(2026, 11, 23)


async def take(pool: LedgerPool, *names: str, operator: str = "officer-1", day: date = TODAY, limit: int = 3) -> bool:
    lines = [line(n, at_ms=NOW_MS, key=doc_key(name), operator=operator) for n, name in enumerate(names)]
    return await pool.write(lookups.take, "live", day, lines, limit)


async def test_limit(pool: LedgerPool) -> None:
    """So many documents for an operator and day. One asked for again counts once; others start anew."""
    assert await take(pool, "a", "b")
    assert await take(pool, "a")
    assert await take(pool, "b", "c")
    assert not await take(pool, "d")
    assert await take(pool, "c")
    assert await take(pool, "d", operator="officer-2")
    assert await take(pool, "d", day=TOMORROW)
    assert not await take(pool, "a", "b", "c", "d", operator="officer-3")


async def test_journalled(pool: LedgerPool, conn: Conn) -> None:
    """What was allowed stands in the journal when the answer goes out; what was not allowed does not."""
    assert await take(pool, "a", "b", limit=2)
    assert not await take(pool, "c", limit=2)
    assert stored(conn) == [line(n, at_ms=NOW_MS, key=doc_key(k), operator="officer-1") for n, k in enumerate("ab")]


async def test_at_once(pool: LedgerPool) -> None:
    """The limit holds for requests at the same time."""
    allowed = await asyncio.gather(*(take(pool, str(n), limit=5) for n in range(12)))
    assert sum(allowed) == 5
