"""The embedded engines of this run: what they are, how they are set, who can reach them."""

import os
import socket

import psycopg
import redis

from lostid.engines.valkey import SOCKET
from tests.conftest import Engines


def test_postgres_keeps_receipts(postgres_dsn: str) -> None:
    """A commit is on disk before it is answered, pages carry checksums, and text is UTF-8 in the order of its bytes."""
    with psycopg.connect(postgres_dsn) as conn:
        settings: dict[str, str] = dict(conn.execute("SELECT name, setting FROM pg_settings").fetchall())
        for name in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
            assert settings[name] == "on"
        assert settings["server_version"].startswith("18.")
        row = conn.execute(
            "SELECT datlocprovider, datlocale, pg_encoding_to_char(encoding) FROM pg_database"
        ).fetchone()
        assert row == ("b", "C", "UTF8")


def test_postgres_is_no_root(engines: Engines) -> None:
    """The server and its files belong to a user other than root."""
    assert engines.postgres.data.stat().st_uid != 0


def test_no_ports(postgres_dsn: str, engines: Engines) -> None:
    """Neither engine listens on a port, and nobody but their user passes the directory of their sockets."""
    with psycopg.connect(postgres_dsn) as conn:
        assert conn.execute("SHOW listen_addresses").fetchone() == ("",)
    with redis.Redis.from_url(engines.valkey.url, decode_responses=True) as r:
        assert r.config_get("port") == {"port": "0"}
    assert engines.valkey.sockets.stat().st_mode & 0o777 == 0o700
    assert len(os.fsencode(engines.valkey.sockets / SOCKET)) < 100


def test_valkey_settings(valkey_url: str) -> None:
    """Nothing is evicted, buckets of hundreds of records stay packed, a shutdown saves."""
    with redis.Redis.from_url(valkey_url, decode_responses=True) as r:
        found = r.config_get("maxmemory-policy", "hash-max-listpack-entries", "save", "appendonly")
    assert found == {
        "maxmemory-policy": "noeviction",
        "hash-max-listpack-entries": "512",
        "save": "300 1",
        "appendonly": "no",
    }


def test_valkey_is_flushed(valkey_url: str, engines: Engines) -> None:
    """Each module of tests begins with an empty Valkey."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(engines.valkey.sockets / SOCKET))
        s.sendall(b"DBSIZE\r\n")
        assert s.recv(64) == b":0\r\n"
