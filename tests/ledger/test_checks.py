"""Each reason not to start, on the real engine, under its name."""

import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from lostid.engines import postgres
from lostid.engines.procs import DataDirLock, stop
from lostid.engines.sockets import sockets_path
from lostid.ledger import checks, entries
from lostid.ledger.checks import Server, judge_server
from lostid.ledger.errors import StartRefused
from lostid.ledger.migrate import migrations, prepare
from lostid.ledger.pool import connect
from lostid.ledger.statement import Conn
from tests.conftest import wait_for
from tests.ledger.making import CANARIES, KEY_CHECKS, verified_chain


@pytest.fixture
def ledger_dsn(new_ledger: Callable[[], str]) -> str:
    return new_ledger()


def refusal(dsn: str, key_checks: dict[str, str] = KEY_CHECKS, now_ms: int | None = None) -> str | None:
    """The code under which a start is refused."""
    with connect(dsn, name="server") as conn:
        try:
            prepare(conn, key_checks, CANARIES, now_ms)
        except StartRefused as refused:
            return refused.code
    return None


@pytest.fixture
def careless(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty database of a PostgreSQL that runs with fsync off. It takes a server of its own to have one."""
    monkeypatch.setitem(postgres.SETTINGS, "fsync", "off")
    data_dir = Path(tempfile.mkdtemp(prefix="lostid-test-"))
    place = data_dir.name.removeprefix("lostid-")
    with DataDirLock(data_dir):
        engine = postgres.prepare(data_dir, place)
        child = engine.start()
        try:
            wait_for(lambda: engine.ready(child), 10, "a careless PostgreSQL")
            yield postgres.dsn_at(engine.sockets, "postgres")
        finally:
            stop(child, signal.SIGQUIT, 10)
            shutil.rmtree(data_dir, ignore_errors=True)
            shutil.rmtree(sockets_path(place), ignore_errors=True)


def test_fsync(careless: str) -> None:
    """fsync off: a receipt would not survive a power cut. Not even an empty ledger is started on."""
    assert refusal(careless) == "fsync_off"
    with connect(careless, name="test") as conn:
        assert conn.execute("SELECT to_regclass('meta')").fetchone() == (None,)


@pytest.mark.parametrize("setting", ["off", "local", "remote_write"])
def test_synchronous_commit(ledger_dsn: str, admin: Conn, setting: str) -> None:
    """synchronous_commit below on, set for the server, the database or the user."""
    name = conninfo_to_dict(ledger_dsn)["dbname"]
    admin.execute(f"ALTER DATABASE {name} SET synchronous_commit = {setting}".encode())
    assert refusal(ledger_dsn) == "synchronous_commit_low"


def test_stricter_commit() -> None:
    """remote_apply promises more than on."""
    judge_server(Server(fsync="on", synchronous_commit="remote_apply"))


@pytest.mark.parametrize("name", sorted(KEY_CHECKS))
def test_secrets(ledger_dsn: str, conn: Conn, name: str) -> None:
    """Other secrets than those the ledger was made with; and the ledger keeps its own."""
    assert refusal(ledger_dsn, KEY_CHECKS | {name: "ff"}) == "secrets_differ"
    assert refusal(ledger_dsn, {key: value for key, value in KEY_CHECKS.items() if key != name}) == "secrets_differ"
    assert refusal(ledger_dsn) is None
    assert conn.execute("SELECT key_checks FROM meta").fetchone() == (KEY_CHECKS,)


def test_clock(ledger_dsn: str, conn: Conn) -> None:
    """A clock more than 60 s behind the last entry; 60 s are allowed."""
    last = entries.head(conn).recorded_ms
    assert refusal(ledger_dsn, now_ms=last - 60_000) is None
    assert refusal(ledger_dsn, now_ms=last - 60_001) == "clock_behind"


def test_ledger_clock(ledger_dsn: str, conn: Conn) -> None:
    """The clock of the ledger's own host as well."""
    ahead = time.time_ns() // 1_000_000 + 90_000
    conn.execute("UPDATE head SET recorded_ms = %s", [ahead])
    assert refusal(ledger_dsn, now_ms=ahead) == "clock_behind"


def test_lease_terms(ledger_dsn: str, conn: Conn) -> None:
    """Lease terms other than this program counts with."""
    conn.execute("UPDATE lease SET l_w_ms = 1000")
    assert refusal(ledger_dsn) == "lease_terms_differ"


def test_refused_first(ledger_dsn: str, conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server with the wrong secrets is refused before it migrates somebody else's ledger."""
    last = migrations()[-1][0]
    newer = [*migrations(), (last + 1, b"CREATE TABLE newer ()")]
    monkeypatch.setattr("lostid.ledger.migrate.migrations", lambda: newer)
    assert refusal(ledger_dsn, KEY_CHECKS | {"pepper": "ff"}) == "secrets_differ"
    assert conn.execute("SELECT to_regclass('newer')").fetchone() == (None,)
    assert refusal(ledger_dsn) is None
    assert conn.execute("SELECT to_regclass('newer')::text, schema_version FROM meta").fetchone() == ("newer", last + 1)
    verified_chain(conn)


def test_agree(conn: Conn) -> None:
    """The terms that the checks insist on are those of the migration."""
    assert conn.execute("SELECT l_r_ms, l_w_ms FROM lease").fetchone() == (checks.L_R_MS, checks.L_W_MS)
