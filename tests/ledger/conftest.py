"""Ledgers to write to.

new_ledger   makes a ledger, just after its first boot: a database of its own, for tests that change more than rows
ledger_dsn   a ledger just after its first boot; one database for the tests of a module
conn         a plain connection to it            per test
pool         the workers' pool on it             per test
admin        a superuser's connection to it, with ordinary settings: what it commits waits for no standby
"""

import time
from collections.abc import AsyncIterator, Callable, Iterator

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from lostid.ledger.migrate import first_boot, prepare
from lostid.ledger.pool import LedgerPool, connect, open_pool
from lostid.ledger.statement import Conn
from tests.ledger.making import CANARIES, KEY_CHECKS

NewDatabase = Callable[..., str]
NewLedger = Callable[[], str]

# Quicker than another database, and far quicker to be rid of. Switches off what keeps entries from being deleted.
FORGET_EVERYTHING = """
    SET session_replication_role = replica;
    DELETE FROM head; DELETE FROM entries; DELETE FROM covers; DELETE FROM reports; DELETE FROM sealed_tokens;
    DELETE FROM writes; DELETE FROM hosts; DELETE FROM api_keys; DELETE FROM lookups; DELETE FROM journal;
    DELETE FROM withdrawals; DELETE FROM report_lines; DELETE FROM attempts; DELETE FROM imports;
    DELETE FROM import_parts; DELETE FROM import_covers; DELETE FROM import_staged; DELETE FROM import_rejections;
    DELETE FROM import_turns; DELETE FROM import_reviews;
    UPDATE meta SET key_checks = NULL;
"""


@pytest.fixture(scope="session")
def template(new_database: NewDatabase) -> str:
    """The name of a database that nobody is connected to."""
    dsn = new_database()
    with connect(dsn, name="test-template") as conn:
        prepare(conn, KEY_CHECKS, CANARIES)
    return str(conninfo_to_dict(dsn)["dbname"])


@pytest.fixture(scope="session")
def new_ledger(new_database: NewDatabase, template: str) -> NewLedger:
    return lambda: new_database(template)


@pytest.fixture(scope="module")
def module_dsn(new_ledger: NewLedger) -> str:
    return new_ledger()


@pytest.fixture
def ledger_dsn(module_dsn: str) -> str:
    with psycopg.connect(module_dsn, autocommit=True) as conn:
        conn.execute(FORGET_EVERYTHING)
        first_boot(conn, KEY_CHECKS, CANARIES, time.time_ns() // 1_000_000)
    return module_dsn


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
