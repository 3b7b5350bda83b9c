"""For every write: what if it was lost, and what if it happened and nobody heard?

The second needs a commit that is done but not acknowledged. A standby that does not exist gives that for certain: the
commit waits for it, and there it can be cut off or cancelled.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import psycopg
import pytest
from psycopg import sql

from lostid.ledger.errors import LedgerUnknown
from lostid.ledger.pool import LedgerPool
from lostid.ledger.statement import Conn
from lostid.ledger.writes import Pending, Recorded, Replay, record, store_answer
from tests.ledger.making import report, until, verified_chain, write_key


def waiting(conn: Conn, event: str) -> int:
    """How many writes of the pool wait for this."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'test-pool' AND wait_event = %s"
    row = conn.execute(query, [event]).fetchone()
    assert row is not None
    return int(row[0])


class Standby:
    """The standby whose acknowledgement every commit waits for, or does not."""

    def __init__(self, dsn: str, admin: Conn) -> None:
        self._dsn = dsn
        self._admin = admin

    async def missing(self) -> None:
        """From now on commits wait for a standby that never comes."""
        self._set("nobody")
        # It is the checkpointer that makes it so, some time after the reload.
        while not await self._probe():
            pass

    async def let_go(self) -> None:
        """Commits wait no more, those under way included."""
        self._set("")
        await until(lambda: waiting(self._admin, "SyncRep") == 0)

    def _set(self, names: str) -> None:
        self._admin.execute(sql.SQL("ALTER SYSTEM SET synchronous_standby_names = {}").format(names))
        self._admin.execute("SELECT pg_reload_conf()")

    async def _probe(self) -> bool:
        """Whether a commit waits."""
        probe = await psycopg.AsyncConnection.connect(self._dsn, autocommit=True)
        pid = probe.info.backend_pid
        commit = asyncio.create_task(probe.execute("SELECT pg_logical_emit_message(true, 'probe', '')"))
        waits = "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event = 'SyncRep'"
        await until(lambda: commit.done() or self._admin.execute(waits, [pid]).fetchone() is not None)
        waited = not commit.done()
        self._admin.execute("SELECT pg_terminate_backend(%s)", [pid])
        with suppress(psycopg.OperationalError):
            await commit
        await probe.close()
        return waited


@pytest.fixture
async def standby(ledger_dsn: str, admin: Conn) -> AsyncIterator[Standby]:
    """It is missing."""
    standby = Standby(ledger_dsn, admin)
    await standby.missing()
    yield standby
    await standby.let_go()


def strike(admin: Conn, function: str, event: str) -> None:
    """Have the server cut off (pg_terminate_backend) or cancel (pg_cancel_backend) the write that waits for this."""
    query = sql.SQL("SELECT {}(pid) FROM pg_stat_activity WHERE application_name = 'test-pool' AND wait_event = %s")
    admin.execute(query.format(sql.Identifier(function)), [event])


async def test_lost(pool: LedgerPool, conn: Conn, admin: Conn) -> None:
    """A write whose backend dies before the commit is unknown to its caller; its key then records it, once."""
    key = write_key()
    with admin.transaction():
        admin.execute("SELECT FROM head FOR UPDATE")
        write = asyncio.create_task(pool.write(record, key, report("a")))
        await until(lambda: waiting(conn, "transactionid") == 1)
        strike(conn, "pg_terminate_backend", "transactionid")
        with pytest.raises(LedgerUnknown):
            await write
    assert isinstance(await pool.write(record, key, report("a")), Recorded)
    assert len(verified_chain(conn)) == 3


@pytest.mark.parametrize("function", ["pg_terminate_backend", "pg_cancel_backend"])
async def test_unheard(pool: LedgerPool, conn: Conn, admin: Conn, standby: Standby, function: str) -> None:
    """A write that is committed here but not heard of, or whose commit was cancelled (the server then acknowledges it
    with a warning), is never acknowledged; its key finds the one entry."""
    key = write_key()
    write = asyncio.create_task(pool.write(record, key, report("a")))
    await until(lambda: waiting(conn, "SyncRep") == 1)
    strike(admin, function, "SyncRep")
    with pytest.raises(LedgerUnknown):
        await write
    await standby.let_go()
    found = await pool.write(record, key, report("a"))
    assert isinstance(found, Pending)
    assert [entry.seq for entry in verified_chain(conn)] == [0, 1, 2]
    assert found.appended.seq == 2


@pytest.mark.parametrize("function", ["pg_terminate_backend", "pg_cancel_backend"])
async def test_unheard_answer(pool: LedgerPool, conn: Conn, admin: Conn, standby: Standby, function: str) -> None:
    """The same for the second commit, and for a replay of it: an answer goes out only once it is on the standby."""
    key = write_key()
    await standby.let_go()
    first = await pool.write(record, key, report("a"))
    assert isinstance(first, Recorded)
    await standby.missing()
    steps = (
        lambda: pool.write(store_answer, key, first.appended, 201, b"receipt"),
        lambda: pool.write(record, key, report("a")),
    )
    for step in steps:
        write = asyncio.create_task(step())
        await until(lambda: waiting(conn, "SyncRep") == 1)
        strike(admin, function, "SyncRep")
        with pytest.raises(LedgerUnknown):
            await write
    await standby.let_go()
    assert await pool.write(record, key, report("a")) == Replay(201, b"receipt")


async def test_disconnect(pool: LedgerPool, conn: Conn, standby: Standby) -> None:
    """A caller that goes away (an HTTP disconnect) cancels nothing: the write runs to its end."""
    key = write_key()
    caller = asyncio.create_task(pool.write(record, key, report("a")))
    await until(lambda: waiting(conn, "SyncRep") == 1)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert waiting(conn, "SyncRep") == 1
    await standby.let_go()
    await until(lambda: waiting(conn, "SyncRep") == 0)
    assert len(verified_chain(conn)) == 3


async def test_closing(pool: LedgerPool, conn: Conn, standby: Standby) -> None:
    """Closing the pool waits for the writes under way."""
    write = asyncio.create_task(pool.write(record, write_key(), report("a")))
    await until(lambda: waiting(conn, "SyncRep") == 1)
    closing = asyncio.create_task(pool.close())
    await asyncio.sleep(0.05)
    assert not closing.done()
    await standby.let_go()
    await closing
    assert isinstance(await write, Recorded)
