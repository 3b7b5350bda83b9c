"""Hosts with a replica that is a real process, on a real ledger.

ledger_dsn   a fresh ledger that has had its first boot         per test
conn, pool   a plain connection to it, a worker's pool on it    per test
host         a host of that ledger; its replica is not started  per test
"""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from lostid.domain.canaries import canary_keys
from lostid.domain.keys import Keyring
from lostid.ledger.migrate import prepare
from lostid.ledger.pool import LedgerPool, connect, open_pool
from lostid.ledger.statement import Conn
from lostid.secrets import load_or_make
from lostid.settings import Settings
from tests.replication.hosting import Host, environment
from tests.replication.nursery import Nursery

NewDatabase = Callable[..., str]


@pytest.fixture(scope="session")
def secrets_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("secrets")


@pytest.fixture(scope="session")
def keyring(secrets_dir: Path) -> Keyring:
    secrets = load_or_make(secrets_dir, make=True)
    return Keyring(secrets.outer, secrets.pepper, secrets.sealing)


@pytest.fixture(scope="session")
def begun(new_database: NewDatabase, keyring: Keyring) -> str:
    """The name of a database that nobody is connected to."""
    dsn = new_database()
    with connect(dsn, name="test-template") as conn:
        prepare(conn, keyring.check_values(), canary_keys(keyring))
    return str(conninfo_to_dict(dsn)["dbname"])


@pytest.fixture
def ledger_dsn(new_database: NewDatabase, begun: str) -> str:
    return new_database(begun)


@pytest.fixture
def conn(ledger_dsn: str) -> Iterator[Conn]:
    with connect(ledger_dsn, name="test") as conn:
        yield conn


@pytest.fixture
async def pool(ledger_dsn: str) -> AsyncIterator[LedgerPool]:
    pool = await open_pool(ledger_dsn, name="test-pool")
    yield pool
    await pool.close()


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery(environment(Settings()))
    yield nursery
    nursery.close()


@pytest.fixture
def host(nursery: Nursery, tmp_path: Path, secrets_dir: Path, keyring: Keyring, ledger_dsn: str) -> Iterator[Host]:
    with Host(nursery, tmp_path / "data", secrets_dir, keyring, ledger_dsn) as host:
        yield host
