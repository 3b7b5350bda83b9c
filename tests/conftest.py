"""Fixtures for every room: the real engines, started once per run (once per process under xdist).

engines        PostgreSQL and Valkey of this run, in a data directory of its own           session
new_database   makes a database from a template: `new_database()` empty                    session
postgres_dsn   an empty database                                                           module
valkey_url     the Valkey server, flushed                                                  module
server         a `lostid serve` with two workers, shared by all: use numbers of your own   session
"""

import itertools
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from hypothesis import settings

from lostid.engines import postgres, valkey
from lostid.engines.procs import DataDirLock, stop
from lostid.engines.sockets import sockets_path
from tests.waiting import wait_for as wait_for

if TYPE_CHECKING:
    from tests.serving import Server

# Two cores are shared by all: an example that took long is no fault of the property.
settings.register_profile("lostid", deadline=None)
settings.load_profile("lostid")

NewDatabase = Callable[..., str]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fuzz-minutes", type=float, default=0, help="let each fuzzer go on for so long (needs --timeout)"
    )


@dataclass(frozen=True)
class Engines:
    postgres: postgres.Postgres
    valkey: valkey.Valkey


@pytest.fixture(scope="session")
def engines() -> Iterator[Engines]:
    """The engines end with this process, whatever ends it; what they wrote is removed when it ends well."""
    data_dir = Path(tempfile.mkdtemp(prefix="lostid-test-"))
    place = data_dir.name.removeprefix("lostid-")
    with DataDirLock(data_dir):
        both = Engines(postgres.prepare(data_dir, place), valkey.prepare(data_dir, place))
        children = [(engine, engine.start()) for engine in (both.postgres, both.valkey)]
        try:
            for engine, child in children:
                wait_for(lambda engine=engine, child=child: engine.ready(child), 10, engine.name)  # type: ignore[misc]
            yield both
        finally:
            # Nothing that they hold is kept: a checkpoint of some fifty databases would be for nothing.
            for engine, child in children:
                stop(child, signal.SIGQUIT if engine is both.postgres else signal.SIGKILL, 10)
            shutil.rmtree(data_dir, ignore_errors=True)
            shutil.rmtree(sockets_path(place), ignore_errors=True)


@pytest.fixture(scope="session")
def new_database(engines: Engines) -> NewDatabase:
    """Make a database: a copy of `template`, by default an empty one. Returns its DSN."""
    numbers = itertools.count(1)

    def make(template: str = "template0") -> str:
        name = f"t{next(numbers)}"
        with psycopg.connect(postgres.dsn_at(engines.postgres.sockets, "postgres"), autocommit=True) as conn:
            conn.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY wal_log")
        return postgres.dsn_at(engines.postgres.sockets, name)

    return make


@pytest.fixture(scope="module")
def postgres_dsn(new_database: NewDatabase) -> str:
    return new_database()


@pytest.fixture(scope="module")
def valkey_url(engines: Engines) -> str:
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(engines.valkey.sockets / valkey.SOCKET))
        s.sendall(b"FLUSHALL\r\nFUNCTION FLUSH\r\nSCRIPT FLUSH\r\n")
        reply = b""
        while reply.count(b"\n") < 3:
            reply += s.recv(64)
        assert reply == b"+OK\r\n" * 3
    return engines.valkey.url


@pytest.fixture(scope="session")
def server() -> Iterator["Server"]:
    from tests.serving import Server  # half the program: not for a run of pure rooms

    with Server(workers=2) as running:
        yield running
        assert running.stop() == 0
        assert "Traceback" not in running.said
