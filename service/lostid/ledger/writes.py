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

import psycopg
from psycopg.types.json import Jsonb

from lostid.ledger import entries
from lostid.ledger.entries import Appended, Draft
from lostid.ledger.reports import NewReport
from lostid.ledger.statement import AsyncConn, Params, Rows, Statement


@dataclass(frozen=True, slots=True)
class WriteKey:
    """Names one write. Both parts are keyed hashes: a caller may have put a number into its Idempotency-Key."""

    env: str
    org: str
    idem_key: bytes
    fingerprint: bytes


def write_key(secret: bytes, env: str, org: str, idempotency_key: str, request: bytes) -> WriteKey:
    """`request` is everything that must be the same in a repeat: method, path and body."""
    idem = blake2b(idempotency_key.encode(), digest_size=32, key=secret, person=b"lostid.idem")
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


async def begin(conn: AsyncConn, key: WriteKey) -> Found:
    """Find the write, or reserve its key until the end of the caller's transaction."""
    raise NotImplementedError


async def record(conn: AsyncConn, key: WriteKey, draft: Draft, report: NewReport | None = None) -> Outcome:
    """REPORT: the whole write in one transaction of its own (autocommit), or what became of it before."""
    raise NotImplementedError


async def store_answer(
    conn: AsyncConn, key: WriteKey, appended: Appended, status: int, answer: bytes, in_force: InForce | None = None
) -> Replay | None:
    """ANSWER, only after the fence. The answer to send: this one, or the one stored earlier.

    None: the entry is not on this server any more (a failover lost an unacknowledged tail). Acknowledge nothing.
    """
    raise NotImplementedError
