"""The relay as the process that the supervisor starts."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from lostid.registry.client import open_client
from lostid.registry.head import Head, read_head
from lostid.registry.writer import request_rebuild
from lostid.secrets import load_or_make
from lostid.settings import Settings
from tests.conftest import wait_for
from tests.registry.conftest import OwnValkey
from tests.registry.ledgers import Ledger, begin, opened


@pytest.fixture
def ledger(postgres_dsn: str) -> Iterator[Ledger]:
    begin(postgres_dsn)
    with opened(postgres_dsn) as ledger:
        yield ledger


@pytest.fixture
def relay(
    ledger: Ledger, postgres_dsn: str, own_valkey: OwnValkey, tmp_path: Path
) -> Iterator[subprocess.Popen[bytes]]:
    settings = Settings(data_dir=tmp_path, database_url=postgres_dsn, redis_url=own_valkey.url)
    load_or_make(settings.secrets_path, make=True)
    with subprocess.Popen([sys.executable, "-m", "lostid", "_relay"], env=os.environ | settings.environment()) as child:
        yield child
        child.kill()


def test_outages(relay: subprocess.Popen[bytes], ledger: Ledger, own_valkey: OwnValkey) -> None:
    """It brings Redis to the ledger's head, again after either of them was away, and leaves when it is told to."""

    def head() -> Head | None:
        try:
            with open_client(own_valkey.url) as client:
                return read_head(client)
        except redis.RedisError:
            return None

    def follows() -> bool:
        there = head()
        return there is not None and there.position == ledger.head

    wait_for(follows, 20, "a filled registry")
    ledger.grow(20)
    wait_for(follows, 10, "new entries")

    own_valkey.kill()
    ledger.grow(5)
    own_valkey.start()
    wait_for(follows, 10, "a registry filled again")

    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lostid-relay'"
    assert ledger.conn.execute(ended).fetchall() == [(True,)]
    ledger.grow(5)
    wait_for(follows, 10, "entries after the ledger's connection was cut")

    with open_client(own_valkey.url) as client:
        request_rebuild(client)
    wait_for(follows, 10, "a registry rebuilt on demand")

    relay.send_signal(signal.SIGTERM)
    assert relay.wait(10) == -signal.SIGTERM
