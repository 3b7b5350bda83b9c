"""What is true of every connection, and what a worker notices of a broken one."""

import asyncio
from collections.abc import Callable

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from lostid.ledger import entries
from lostid.ledger.errors import LedgerDown
from lostid.ledger.pool import LedgerPool, aconnect, connect, open_pool
from lostid.ledger.statement import AsyncConn, Conn, Statement
from tests.ledger.making import report, verified_chain

SHOW = Statement(
    """
    SELECT current_setting('synchronous_commit'), current_setting('lock_timeout'), current_setting('application_name')
    """,
    lambda rows: rows[0],
)


@pytest.fixture
def ledger_dsn(new_ledger: Callable[[], str]) -> str:
    return new_ledger()


async def shown(conn: AsyncConn) -> tuple[str, str, str]:
    return await SHOW.arun(conn)


async def test_sessions(ledger_dsn: str, admin: Conn) -> None:
    """Writers commit synchronously whatever the database's default; remote_apply is left as it is."""
    name = conninfo_to_dict(ledger_dsn)["dbname"]
    for default, expected in (("off", "on"), ("remote_apply", "remote_apply")):
        admin.execute(f"ALTER DATABASE {name} SET synchronous_commit = {default}".encode())
        pool = await open_pool(ledger_dsn, name="worker")
        try:
            assert await pool.write(shown) == await pool.read(shown) == (expected, "3s", "worker")
        finally:
            await pool.close()
        with connect(ledger_dsn, name="replica") as conn:
            assert SHOW.run(conn) == (expected, "3s", "replica")
        async with await aconnect(ledger_dsn, name="cli") as other:
            assert await shown(other) == (expected, "3s", "cli")


async def test_after_restart(pool: LedgerPool, admin: Conn) -> None:
    """After a break both reads and writes go on at once, on new connections."""
    for name in ("before", "after"):
        await asyncio.gather(*(pool.read(shown) for _ in range(4)))
        await pool.write(entries.append, report(name))
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'test-pool'")
        assert (await pool.read(shown))[2] == "test-pool"
        assert (await pool.write(shown))[2] == "test-pool"


async def test_away(ledger_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker starts while the ledger is away, is told so, and needs no restart when it comes back."""
    monkeypatch.setattr("lostid.ledger.pool._TAKE_READER_S", 0.2)
    monkeypatch.setattr("lostid.ledger.pool._TAKE_WRITER_S", 0.2)
    pool = await open_pool(make_conninfo(ledger_dsn, dbname="away"), name="early")
    for use in (pool.read, pool.write):
        with pytest.raises(LedgerDown):
            await use(shown)
    await pool.close()
    with pytest.raises(LedgerDown):
        await pool.read(shown)


async def test_busy_writers(pool: LedgerPool, admin: Conn, conn: Conn) -> None:
    """Reads go on while every writer waits for the head."""
    with admin.transaction():
        admin.execute("SELECT FROM head FOR UPDATE")
        writes = [asyncio.create_task(pool.write(entries.append, report(str(n)))) for n in range(8)]
        assert (await pool.read(shown))[2] == "test-pool"
        assert not any(write.done() for write in writes)
    await asyncio.gather(*writes)
    assert len(verified_chain(conn)) == 10
