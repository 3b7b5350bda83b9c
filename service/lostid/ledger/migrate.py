"""Bring the schema up to date. Runs at every start, under an advisory lock: two servers may start at once."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Final

from psycopg.types.json import Jsonb

from lostid.domain.covers import Action, Cover, CoverKind, Effect
from lostid.ledger import bodies, checks, entries
from lostid.ledger.care import AHEAD, DAYS_AHEAD
from lostid.ledger.entries import Draft
from lostid.ledger.errors import StartRefused, translated
from lostid.ledger.statement import Conn, Statement, nothing

# A migration, and the wait for another server's, may take as long as they take.
_PATIENCE = Statement("SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0", nothing)
_LOCK = Statement("SELECT pg_advisory_xact_lock(hashtextextended('lostid.migrate', 0))", nothing)
# Not to_regclass: after a wait for the lock that may still answer from this session's cache of names.
_HAS_META = Statement(
    "SELECT EXISTS (SELECT FROM pg_class WHERE relname = 'meta' AND pg_table_is_visible(oid))",
    lambda rows: bool(rows[0][0]),
)
_VERSION = Statement("SELECT schema_version FROM meta", lambda rows: int(rows[0][0]))
_SET_VERSION = Statement("UPDATE meta SET schema_version = %(version)s", nothing, writes=True)
_LEDGER_ID = Statement("SELECT ledger_id::text FROM meta", lambda rows: str(rows[0][0]))
_BEGUN = Statement("SELECT EXISTS (SELECT FROM head)", lambda rows: bool(rows[0][0]))
_GENESIS = Statement(
    """
    WITH line AS (
        INSERT INTO entries (seq, prev, hash, recorded_ms, kind, id, body)
        VALUES (0, %(prev)s, %(hash)s, %(now)s, 'genesis', %(id)s, %(body)s)
    )
    INSERT INTO head (seq, prev, hash, recorded_ms) VALUES (0, %(prev)s, %(hash)s, %(now)s)
    """,
    nothing,
    writes=True,
)
_CLAIM_SECRETS = Statement("UPDATE meta SET key_checks = %(key_checks)s WHERE key_checks IS NULL", nothing, writes=True)

_BEFORE_GENESIS: Final = bytes(32)


def migrations() -> list[tuple[int, bytes]]:
    """(version, SQL) in order; the version is the number in the file's name."""
    found = (files("lostid.ledger") / "migrations").iterdir()
    named = sorted((file.name, file.read_bytes()) for file in found if file.name.endswith(".sql"))
    return [(int(name.split("_")[0]), sql) for name, sql in named]


def schema_version(conn: Conn) -> int:
    """0 where there is none yet. Raises StartRefused("schema_from_the_future")."""
    version = _VERSION.run(conn) if _HAS_META.run(conn) else 0
    newest = migrations()[-1][0]
    if version > newest:
        raise StartRefused(
            "schema_from_the_future",
            f"the ledger's schema has version {version}, this program knows {newest}: start a newer lostid",
        )
    return version


def migrate(conn: Conn) -> None:
    """Apply what is missing, all of it in one transaction. Raises StartRefused("schema_from_the_future")."""
    with translated(writing=True), conn.transaction():
        _PATIENCE.run(conn)
        _LOCK.run(conn)
        version = schema_version(conn)
        for number, sql in migrations():
            if number > version:
                conn.execute(sql)
                _SET_VERSION.run(conn, {"version": number})


def first_boot(conn: Conn, key_checks: Mapping[str, str], canaries: Sequence[bytes], now_ms: int) -> None:
    """Genesis (entry 0), the tie to these secrets, and the canaries' entry (1): once in a ledger's life."""
    with translated(writing=True), conn.transaction():
        _PATIENCE.run(conn)
        _LOCK.run(conn)
        if _BEGUN.run(conn):
            return
        id_ = _LEDGER_ID.run(conn)
        body = bodies.encode("genesis", id_, {}, ())
        hash_ = entries.chain_hash(_BEFORE_GENESIS, 0, now_ms, body)
        _GENESIS.run(conn, {"prev": _BEFORE_GENESIS, "hash": hash_, "now": now_ms, "id": id_, "body": body})
        _CLAIM_SECRETS.run(conn, {"key_checks": Jsonb(dict(key_checks))})
        entries.APPEND.run(conn, entries.append_params(_canary(canaries, now_ms)))


def _canary(keys: Sequence[bytes], now_ms: int) -> Draft:
    cover = Cover(CoverKind.ALL, None, None, final=False, open_ended=False, reason="lost", effective_at_ms=now_ms)
    effects = [Effect(key, 0, ordinal, Action.ADD, "canary", cover) for ordinal, key in enumerate(keys)]
    return Draft("canary", "canary", {"env": "canary"}, effects)


def prepare(conn: Conn, key_checks: Mapping[str, str], canaries: Sequence[bytes], now_ms: int | None = None) -> None:
    """Everything a server does to the ledger before it serves. A server that is refused has changed nothing.

    `key_checks`: Keyring.check_values(). `canaries`: document keys of the canary documents.
    """
    now = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    checks.check_server(conn)
    if schema_version(conn) and _BEGUN.run(conn):
        checks.check_ledger(conn, key_checks, now)
    migrate(conn)
    first_boot(conn, key_checks, canaries, now)
    AHEAD.run(conn, {"days": DAYS_AHEAD})
    checks.check_ledger(conn, key_checks, now)
