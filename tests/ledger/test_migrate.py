"""The schema comes by itself, once, whoever starts first."""

import threading
from collections.abc import Callable

import pytest

from lostid.ledger import entries
from lostid.ledger.errors import LedgerFault, StartRefused
from lostid.ledger.migrate import migrate, migrations, prepare
from lostid.ledger.pool import connect
from lostid.ledger.statement import Conn
from tests.ledger.making import CANARIES, KEY_CHECKS, verified_chain


@pytest.fixture
def ledger_dsn(new_ledger: Callable[[], str]) -> str:
    return new_ledger()


def test_twice_at_once(new_database: Callable[..., str]) -> None:
    """Servers that start at the same time on an empty ledger make one schema, one genesis and one canaries' entry."""
    dsn = new_database()
    failed: list[BaseException] = []

    def start() -> None:
        try:
            with connect(dsn, name="server") as conn:
                prepare(conn, KEY_CHECKS, CANARIES)
        except BaseException as error:  # told by the test
            failed.append(error)

    servers = [threading.Thread(target=start) for _ in range(4)]
    for server in servers:
        server.start()
    for server in servers:
        server.join()
    assert failed == []
    with connect(dsn, name="test") as conn:
        assert [entry.kind for entry in verified_chain(conn)] == ["genesis", "canary"]


def test_again(conn: Conn) -> None:
    """Another start changes nothing."""
    before = verified_chain(conn)
    prepare(conn, KEY_CHECKS, CANARIES)
    assert verified_chain(conn) == before


def test_numbers() -> None:
    """Migrations are numbered from 1 without a gap: one that came later under a lower number would never be applied."""
    assert [number for number, _ in migrations()] == list(range(1, len(migrations()) + 1))


def test_from_the_future(conn: Conn) -> None:
    """A schema that is newer than the program is refused."""
    conn.execute("UPDATE meta SET schema_version = 999")
    with pytest.raises(StartRefused) as refused:
        prepare(conn, KEY_CHECKS, CANARIES)
    assert refused.value.code == "schema_from_the_future"
    with pytest.raises(StartRefused):
        migrate(conn)


def test_interrupted(new_database: Callable[..., str]) -> None:
    """A migration that fails half-way leaves nothing of itself."""
    with connect(new_database(), name="test") as conn:
        conn.execute("CREATE TABLE writes ()")
        with pytest.raises(LedgerFault, match="already exists"):
            migrate(conn)
        assert conn.execute("SELECT to_regclass('meta'), to_regclass('entries')").fetchone() == (None, None)
        conn.execute("DROP TABLE writes")
        prepare(conn, KEY_CHECKS, CANARIES)
        assert entries.head(conn).seq == 1
