"""Ledgers to write to: each a copy of one that has had its first boot.

ledger_dsn   a fresh ledger                      per test
conn         a plain connection to it            per test
pool         the workers' pool on it             per test
admin        a superuser's connection to it, with ordinary settings: what it commits waits for no standby
"""

from collections.abc import AsyncIterator, Callable, Iterator

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from lostid.ledger.migrate import prepare
from lostid.ledger.pool import LedgerPool, connect, open_pool
from lostid.ledger.statement import Conn
from tests.ledger.making import CANARIES, KEY_CHECKS

NewDatabase = Callable[..., str]


@pytest.fixture(scope="session")
def template(new_database: NewDatabase) -> str:
    """The name of a database that nobody is connected to."""
    dsn = new_database()
    with connect(dsn, name="test-template") as conn:
        prepare(conn, KEY_CHECKS, CANARIES)
    return str(conninfo_to_dict(dsn)["dbname"])


@pytest.fixture
def ledger_dsn(new_database: NewDatabase, template: str) -> str:
    return new_database(template)


@pytest.fixture
def conn(ledger_dsn: str) -> Iterator[Conn]:
    with connect(ledger_dsn, name="test") as conn:
        yield conn


@pytest.fixture
async def pool(ledger_dsn: str) -> AsyncIterator[LedgerPool]:
    pool = await open_pool(ledger_dsn, name="test-pool", writes=8)
    yield pool
    await pool.close()


@pytest.fixture
def admin(ledger_dsn: str) -> Iterator[Conn]:
    with psycopg.connect(ledger_dsn, autocommit=True) as conn:
        conn.execute("SET synchronous_commit = local")
        yield conn
