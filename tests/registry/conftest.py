"""A flushed Valkey for every test, and one of one's own for the tests that kill it."""

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from lostid.engines import valkey
from lostid.engines.procs import stop
from lostid.engines.sockets import sockets_path
from lostid.registry.client import open_client
from lostid.registry.writer import Writer
from tests.conftest import wait_for
from tests.registry.making import flush


@pytest.fixture
def client(valkey_url: str) -> Iterator[redis.Redis]:
    with open_client(valkey_url) as client:
        flush(client)
        yield client


@pytest.fixture
def writer(client: redis.Redis) -> Writer:
    return Writer(client)


class OwnValkey:
    """A server that a test may kill, stop for a while, and start again from what it saved."""

    def __init__(self, data_dir: Path) -> None:
        self.engine = valkey.prepare(data_dir, data_dir.name)
        self.url = self.engine.url
        self.start()

    def start(self) -> None:
        self.child: subprocess.Popen[bytes] = self.engine.start()
        wait_for(lambda: self.engine.ready(self.child), 10, "valkey")

    def kill(self) -> None:
        self.child.kill()
        self.child.wait()

    def freeze(self) -> None:
        self.child.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.child.send_signal(signal.SIGCONT)

    @property
    def saved(self) -> Path:
        return self.engine.data / "dump.rdb"


@pytest.fixture
def own_valkey() -> Iterator[OwnValkey]:
    data_dir = Path(tempfile.mkdtemp(prefix="lostid-test-"))
    server = OwnValkey(data_dir)
    yield server
    server.thaw()
    stop(server.child, signal.SIGKILL, 1.0)
    shutil.rmtree(data_dir, ignore_errors=True)
    shutil.rmtree(sockets_path(data_dir.name), ignore_errors=True)
