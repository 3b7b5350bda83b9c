"""API keys: 256 random bits, shown once; the ledger keeps their SHA-256 and what they may do.

Creating and revoking are entries (kind `key.created`, `key.revoked`) in the transaction of the row, so every host
learns of them through the fence (the page's auth_seq).

What must hold: a row counts only as its entry says, and only while no entry has ended it. So the keys are loaded
together with their entries: a row without one, with other rights or another secret than stand there, or whose entry was
altered or is on no chain, is not among them; one that is ended in an entry is ended, whatever its row says. Whoever can
write rows by hand must append an entry to make a key, and that is seen.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from lostid.domain.position import Position
from lostid.ledger import entries
from lostid.ledger.entries import Appended, Draft
from lostid.ledger.statement import AsyncConn, Rows, Statement

PREFIX = {"live": "lid_live_", "test": "lid_test_"}


@dataclass(frozen=True, slots=True)
class NewKey:
    env: str  # live or test
    org: str
    roles: tuple[str, ...]
    station: str | None = None
    operator: str | None = None
    purposes: tuple[str, ...] = ()  # empty: all
    reasons: tuple[str, ...] = ()  # empty: all
    rate: int | None = None  # requests per second


@dataclass(frozen=True, slots=True)
class ApiKey:
    id: str
    slot: int  # small, never reused: the key's place in the table of rates
    secret_sha256: bytes
    env: str
    org: str
    station: str | None
    operator: str | None
    roles: frozenset[str]
    purposes: frozenset[str]  # empty: all
    reasons: frozenset[str]  # empty: all
    rate: int | None
    created_seq: int
    revoked_seq: int | None


@dataclass(frozen=True, slots=True)
class KeyTable:
    """Every key that an entry has made, revoked ones too. `contains`: they come from a server that has the position
    that was asked about."""

    contains: bool
    by_secret: Mapping[bytes, ApiKey]


def new_secret(env: str) -> str:
    return PREFIX[env] + secrets.token_urlsafe(32)


def secret_hash(secret: str) -> bytes:
    return sha256(secret.encode()).digest()


CREATE = Statement(
    f"""
    WITH moved AS ({entries.MOVE_HEAD} RETURNING {entries.PLACE}), {entries.WRITE_ENTRY}, made AS (
        INSERT INTO api_keys (id, secret_sha256, env, org, station, operator, roles, purposes, reasons, rate,
                              created_seq)
        SELECT %(id)s, %(secret_sha256)s, %(env)s, %(org)s, %(station)s, %(operator)s, %(roles)s, %(purposes)s,
               %(reasons)s, %(rate)s, seq
          FROM moved
    )
    {entries.REPLY}
    """,
    lambda rows: Appended(*rows[0][:4]),
    writes=True,
)

# Two at once: the second waits for the row, finds it revoked, and moves nothing.
REVOKE = Statement(
    f"""
    WITH chosen AS MATERIALIZED (
        SELECT id FROM api_keys WHERE id = %(id)s AND revoked_seq IS NULL FOR UPDATE
    ), moved AS (
        {entries.MOVE_HEAD} FROM chosen RETURNING {entries.PLACE}
    ), {entries.WRITE_ENTRY}, revoked AS (
        UPDATE api_keys SET revoked_seq = moved.seq FROM moved WHERE id = %(id)s
    )
    {entries.REPLY}
    """,
    lambda rows: Appended(*rows[0][:4]) if rows else None,
    writes=True,
)

REVOKED = Statement(
    """
    SELECT e.seq, e.prev, e.hash, e.recorded_ms
      FROM api_keys k JOIN entries e ON e.seq = k.revoked_seq
     WHERE k.id = %(id)s
    """,
    lambda rows: Appended(*rows[0]) if rows else None,
)

# An entry counts where what stands there hashes to what the next one, or the head, continues; whoever alters both is
# found by the log (docs/log.md). Entries have no gaps, so none can be slipped in. CASE: nothing else is read as JSON.
# LIMIT: each key looks up its own two entries, however many there are; some tens of microseconds, all in PostgreSQL.
_MADE: Final = """
    SELECT k.id, k.slot, k.secret_sha256, k.env, k.org, k.station, k.operator, k.roles, k.purposes, k.reasons, k.rate,
           k.created_seq, k.revoked_seq
      FROM api_keys k CROSS JOIN head h CROSS JOIN LATERAL (
           SELECT seq, prev, recorded_ms, body,
                  (SELECT prev FROM entries WHERE seq = k.created_seq + 1 AND seq <= h.seq) AS next
             FROM entries WHERE seq = k.created_seq AND seq BETWEEN 1 AND h.seq LIMIT 1) e
     WHERE CASE WHEN coalesce(e.next, h.hash)
                     <> sha256('lostid.entry.v1'::bytea || '\\x00'::bytea || e.prev || int8send(e.seq)
                               || int8send(e.recorded_ms) || e.body) THEN false
                ELSE convert_from(e.body, 'UTF8')::jsonb = jsonb_build_object(
                         'v', 1, 'kind', 'key.created', 'id', k.id, 'effects', '[]'::jsonb, 'facts', jsonb_build_object(
                             'env', k.env, 'org', k.org, 'station', k.station, 'operator', k.operator, 'roles', k.roles,
                             'purposes', k.purposes, 'reasons', k.reasons, 'rate', k.rate,
                             'secret_sha256', encode(k.secret_sha256, 'hex'))) END
"""
_ENDED: Final = """
    SELECT id, seq FROM entries WHERE kind = 'key.revoked'
     UNION ALL
    SELECT jsonb_array_elements_text(convert_from(body, 'UTF8')::jsonb -> 'facts' -> 'keys'), seq FROM entries
     WHERE kind IN ('station.revoked', 'operator.revoked', 'operator.moved')
"""
LOAD_ALL = Statement(
    f"""
    WITH made AS ({_MADE}), ended AS MATERIALIZED (SELECT id, min(seq) AS seq FROM ({_ENDED}) e GROUP BY id)
    SELECT e.contains, k.id, k.slot, k.secret_sha256, k.env, k.org, k.station, k.operator,
           k.roles, k.purposes, k.reasons, k.rate, k.created_seq, coalesce(ended.seq, k.revoked_seq)
      FROM (SELECT EXISTS (SELECT FROM entries WHERE seq = %(seq)s AND hash = %(hash)s) AS contains) e
      LEFT JOIN (made k LEFT JOIN ended USING (id)) ON true
     ORDER BY k.slot
    """,
    lambda rows: _table(rows),
)


def _table(rows: Rows) -> KeyTable:
    keys = (_api_key(row[1:]) for row in rows if row[1] is not None)
    return KeyTable(rows[0][0], {key.secret_sha256: key for key in keys})


def _api_key(row: tuple[Any, ...]) -> ApiKey:
    values: tuple[Any, ...] = tuple(frozenset(value) if isinstance(value, list) else value for value in row)
    return ApiKey(*values)


async def create(conn: AsyncConn, id_: str, new: NewKey) -> tuple[str, Appended]:
    """(the secret, the entry). The only time the secret is seen."""
    secret = new_secret(new.env)
    hashed = secret_hash(secret)
    told = {
        "env": new.env,
        "org": new.org,
        "station": new.station,
        "operator": new.operator,
        "roles": list(new.roles),
        "purposes": list(new.purposes),
        "reasons": list(new.reasons),
        "rate": new.rate,
    }
    # The secret has 256 random bits, so its plain hash may stand in the log: a row that was changed by hand shows.
    draft = Draft("key.created", id_, {**told, "secret_sha256": hashed.hex()})
    appended = await CREATE.arun(conn, {**entries.append_params(draft), **told, "secret_sha256": hashed})
    return secret, appended


async def revoke(conn: AsyncConn, id_: str) -> Appended | None:
    """None: there is no such key. Revoking twice gives the first entry again."""
    params = {**entries.append_params(Draft("key.revoked", id_)), "id": id_}
    return await REVOKE.arun(conn, params) or await REVOKED.arun(conn, {"id": id_})


async def load_all(conn: AsyncConn, at: Position | None = None) -> KeyTable:
    """In one snapshot: a table that contains a position knows of every entry up to it."""
    return await LOAD_ALL.arun(conn, {"seq": at.seq if at else None, "hash": at.hash if at else None})
