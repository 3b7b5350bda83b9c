"""Idempotency: the REPORT and ANSWER steps of design section 5.

    REPORT   record()         one statement, one transaction: the write, the entry, its effects, the report
    FENCE                     the caller waits (replication)
    ANSWER   store_answer()   one statement: the entry is still there, and the answer is stored where there is none

What is sent is always the stored answer, so a replay gives what the first caller got.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

from psycopg.types.json import Jsonb

from lostid.ledger import entries
from lostid.ledger.entries import Appended, Draft
from lostid.ledger.errors import LedgerConflict
from lostid.ledger.statement import AsyncConn, Statement, nothing


@dataclass(frozen=True, slots=True)
class WriteKey:
    """Names one write. Both parts are keyed hashes: a caller may have put a number into its Idempotency-Key."""

    env: str
    org: str
    idem_key: bytes
    fingerprint: bytes


def write_key(secret: bytes, env: str, org: str, idempotency_key: str, request: bytes) -> WriteKey:
    """`request` is everything that must be the same in a repeat: method, path and body."""
    scoped = "\0".join((env, org, idempotency_key)).encode()
    idem = blake2b(scoped, digest_size=32, key=secret, person=b"lostid.idem")
    body = blake2b(request, digest_size=32, key=secret, person=b"lostid.request")
    return WriteKey(env, org, idem.digest(), body.digest())


@dataclass(frozen=True, slots=True)
class Recorded:
    """New, and committed now."""

    appended: Appended


@dataclass(frozen=True, slots=True)
class Pending:
    """Committed before, not answered yet: wait at its fence, then answer. `id` is the entry's (rpt_...)."""

    id: str
    appended: Appended


@dataclass(frozen=True, slots=True)
class Replay:
    """Answered before; its fence was passed then."""

    status: int
    answer: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """The answer to send. `first`: it is the caller's own; where another request had stored one, this is a replay."""

    status: int
    answer: bytes
    first: bool


@dataclass(frozen=True, slots=True)
class InUse:
    """Another request with this key is being committed right now."""


@dataclass(frozen=True, slots=True)
class Reused:
    """The key came before with another request."""


@dataclass(frozen=True, slots=True)
class New:
    """Nobody used this key, and nobody else can before this transaction ends."""


Found = New | Pending | Replay | InUse | Reused
Outcome = Recorded | Pending | Replay | InUse | Reused


@dataclass(frozen=True, slots=True)
class InForce:
    """What ANSWER notes on the report itself."""

    in_force_ms: int
    visibility: dict[str, Any]


_MINE: Final = "env = %(env)s AND org = %(org)s AND idem_key = %(idem_key)s"
_RESERVE: Final = "pg_try_advisory_xact_lock(%(lock)s::bigint)"

FIND = Statement(
    # The row lock makes this a transaction that writes, so that a replay, too, leaves only after a synchronous commit:
    # an answer that is visible here but on no standby yet must not be sent.
    f"""
    SELECT {_RESERVE}, w.fingerprint, w.status, w.answer, e.id, e.seq, e.prev, e.hash, e.recorded_ms
      FROM (SELECT) one
      LEFT JOIN LATERAL (SELECT * FROM writes WHERE {_MINE} FOR NO KEY UPDATE) w ON true
      LEFT JOIN entries e ON e.seq = w.seq
    """,
    lambda rows: rows[0],
    writes=True,
)

# Before the lock on the head: is the key free? After it: the entry, and the row that makes the key used. Both rows come
# with one commit or not at all.
RECORD = Statement(
    f"""
    WITH gate AS MATERIALIZED (
        SELECT {_RESERVE} AS free, EXISTS (SELECT FROM writes WHERE {_MINE}) AS found
    ), moved AS (
        {entries.MOVE_HEAD} FROM gate WHERE gate.free AND NOT gate.found
        RETURNING {entries.PLACE}
    ), {entries.WRITE_ENTRY}, used AS (
        INSERT INTO writes (env, org, idem_key, fingerprint, seq)
        SELECT %(env)s, %(org)s, %(idem_key)s, %(fingerprint)s, seq FROM moved
    ), reported AS (
        INSERT INTO reports (id, seq, env, org, station, operator, key_id, type, case_number, reason, effective_ms,
                             covers, recorded_ms)
        SELECT %(id)s, seq, r.env, r.org, r.station, r.operator, r.key_id, r.type, r.case_number, r.reason,
               r.effective_ms, r.covers, recorded_ms
          FROM moved, jsonb_to_record(convert_from(%(body)s::bytea, 'UTF8')::jsonb -> 'facts') AS r (
               env text, org text, station text, operator text, key_id text, type text, case_number text, reason text,
               effective_ms int8, covers jsonb)
         WHERE %(kind)s = 'report'
    )
    {entries.REPLY}
    """,
    lambda rows: Appended(*rows[0][:4]) if rows else None,
    writes=True,
)

# For a write whose entry was appended by the caller's own transaction, after `begin` said that it is new.
USE = Statement(
    """
    INSERT INTO writes (env, org, idem_key, fingerprint, seq)
    VALUES (%(env)s, %(org)s, %(idem_key)s, %(fingerprint)s, %(seq)s)
    """,
    nothing,
    writes=True,
)

# The entry must still be here: after a failover that lost it, nothing may be acknowledged. What is stored stays.
ANSWER = Statement(
    f"""
    WITH held AS MATERIALIZED (
        SELECT answer IS NULL AS first FROM writes WHERE {_MINE} AND seq = %(seq)s FOR NO KEY UPDATE
    ), answered AS (
        UPDATE writes SET status = coalesce(status, %(status)s), answer = coalesce(answer, %(answer)s)
          FROM held
         WHERE {_MINE} AND seq = %(seq)s AND EXISTS (SELECT FROM entries e WHERE e.seq = %(seq)s AND e.hash = %(hash)s)
        RETURNING status, answer, first
    ), noted AS (
        UPDATE reports r
           SET in_force_ms = coalesce(r.in_force_ms, %(in_force_ms)s),
               visibility = coalesce(r.visibility, %(visibility)s)
          FROM answered WHERE r.seq = %(seq)s AND %(in_force_ms)s::bigint IS NOT NULL
    )
    SELECT status, answer, first FROM answered
    """,
    lambda rows: Stored(*rows[0]) if rows else None,
    writes=True,
)


async def begin(conn: AsyncConn, key: WriteKey) -> Found:
    """Find the write, or reserve its key until the end of the caller's transaction."""
    free, fingerprint, status, answer, id_, *place = await FIND.arun(conn, _key_params(key))
    if fingerprint is None:
        return New() if free else InUse()
    if fingerprint != key.fingerprint:
        return Reused()
    if answer is not None:
        return Replay(status, answer)
    return Pending(id_, Appended(*place))


async def record(conn: AsyncConn, key: WriteKey, draft: Draft) -> Outcome:
    """REPORT: the whole write in one transaction of its own (autocommit), or what became of it before.

    An entry of kind `report` (NewReport.draft) also gets its row in `reports`, made from its body.
    """
    params = {**_key_params(key), **entries.append_params(draft)}
    for _ in range(2):
        try:
            appended = await RECORD.arun(conn, params)
        except LedgerConflict as conflict:
            if conflict.constraint != "writes_pkey":
                raise
            appended = None  # another request with this key was committed since the statement began
        if appended is not None:
            return Recorded(appended)
        found = await begin(conn, key)
        if not isinstance(found, New):
            return found
    return InUse()


async def use(conn: AsyncConn, key: WriteKey, appended: Appended) -> Recorded:
    """The key is used, by this entry: in the transaction of both. It counts once that is committed."""
    await USE.arun(conn, {**_key_params(key), "seq": appended.seq})
    return Recorded(appended)


async def store_answer(
    conn: AsyncConn, key: WriteKey, appended: Appended, status: int, answer: bytes, in_force: InForce | None = None
) -> Stored | None:
    """ANSWER, only after the fence. The answer to send: this one, or the one stored earlier.

    None: the entry is not on this server any more (a failover lost an unacknowledged tail). Acknowledge nothing.
    """
    params = _key_params(key) | {
        "seq": appended.seq,
        "hash": appended.hash,
        "status": status,
        "answer": answer,
        "in_force_ms": in_force.in_force_ms if in_force else None,
        "visibility": Jsonb(in_force.visibility) if in_force else None,
    }
    return await ANSWER.arun(conn, params)


def _key_params(key: WriteKey) -> dict[str, Any]:
    lock = int.from_bytes(key.idem_key[:8], "big", signed=True)
    return {"env": key.env, "org": key.org, "idem_key": key.idem_key, "fingerprint": key.fingerprint, "lock": lock}
