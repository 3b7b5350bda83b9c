"""The writer's wait: it ends when the ledger has seen every host, or when the leases of the others have ended."""

import asyncio

import pytest

from lostid.ledger import hosts
from lostid.ledger.pool import LedgerPool, open_pool
from lostid.ledger.statement import Conn
from lostid.replication import fence_wait
from lostid.replication.fence_wait import FenceUnproven, Visibility
from tests.replication.hosting import report

GONE, HERE = b"host that is gon", b"host that renews"


async def test_nobody(conn: Conn, pool: LedgerPool) -> None:
    """Without hosts there is nobody to wait for."""
    placed = report(conn)
    seen = await fence_wait.wait(pool, placed.seq, placed.hash)
    assert (seen.hosts, seen.confirmed) == (0, 0)


async def test_renews(conn: Conn, pool: LedgerPool) -> None:
    """It passes as soon as the last host has told the ledger that it holds the entry, and not before."""
    for inc in (GONE, HERE):
        hosts.join(conn, inc)
    placed = report(conn)
    waiting = asyncio.create_task(fence_wait.wait(pool, placed.seq, placed.hash))
    hosts.renew(conn, HERE, placed.seq, placed.hash)
    await asyncio.sleep(0.05)
    assert not waiting.done()
    hosts.renew(conn, GONE, placed.seq, placed.hash)
    seen = await waiting
    assert (seen.hosts, seen.confirmed) == (2, 2)


async def test_stands_still(conn: Conn, pool: LedgerPool) -> None:
    """A host that is gone holds one report up for L_w, and is removed by those who waited; one that lives stays."""
    hosts.join(conn, GONE)
    hosts.join(conn, HERE)
    waits: list[Visibility] = []
    while not waits or waits[-1].confirmed < waits[-1].hosts:
        placed = report(conn)
        hosts.renew(conn, HERE, placed.seq, placed.hash)
        waits.append(await fence_wait.wait(pool, placed.seq, placed.hash))
    assert [row.inc for row in hosts.sample(conn)] == [HERE]
    assert len(waits) <= 3
    assert (waits[0].hosts, waits[0].confirmed) == (2, 1)
    assert waits[0].waited_ms >= 1_500


async def test_entry_lost(conn: Conn, pool: LedgerPool) -> None:
    """Where no server has the entry nothing is proved, however long it took."""
    placed = report(conn)
    with pytest.raises(FenceUnproven):
        await fence_wait.wait(pool, placed.seq, b"another" + placed.hash[7:])


async def test_ledger_away() -> None:
    """Where no server answers nothing is proved either."""
    pool = await open_pool("postgresql:///lostid?host=/nonexistent", name="test-away")
    with pytest.raises(FenceUnproven):
        await fence_wait.wait(pool, 7, b"h" * 32)
    await pool.close()


async def test_cancelled(conn: Conn, pool: LedgerPool) -> None:
    """Whoever waits may go away; the next one waits as if nobody had been there."""
    hosts.join(conn, GONE)
    placed = report(conn)
    waiting = asyncio.create_task(fence_wait.wait(pool, placed.seq, placed.hash))
    await asyncio.sleep(0.02)
    waiting.cancel()
    await asyncio.wait([waiting])  # Python 3.11 may lose a cancellation in wait_for; then it waits to its end
    hosts.renew(conn, GONE, placed.seq, placed.hash)
    assert (await fence_wait.wait(pool, placed.seq, placed.hash)).confirmed == 1
