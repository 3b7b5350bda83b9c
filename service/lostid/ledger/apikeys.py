"""API keys: 256 random bits, shown once; the ledger keeps their SHA-256 and what they may do.

Creating and revoking are entries (kind `key.created`, `key.revoked`) in the transaction of the row, so every host learns
of them through the fence (the page's auth_seq).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from lostid.ledger.entries import Appended
from lostid.ledger.statement import AsyncConn

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
    """Every key, revoked ones too, as of entry `seq`."""

    seq: int
    by_secret: Mapping[bytes, ApiKey]


def new_secret(env: str) -> str:
    return PREFIX[env] + secrets.token_urlsafe(32)


def secret_hash(secret: str) -> bytes:
    return sha256(secret.encode()).digest()


async def create(conn: AsyncConn, id_: str, new: NewKey) -> tuple[str, Appended]:
    """(the secret, the entry). The only time the secret is seen."""
    raise NotImplementedError


async def revoke(conn: AsyncConn, id_: str) -> Appended | None:
    """None: there is no such key. Revoking twice gives the first entry again."""
    raise NotImplementedError


async def load_all(conn: AsyncConn) -> KeyTable:
    raise NotImplementedError
