"""The digest of the whole registry as the ledger keeps it: sealed together with the entry it belongs to."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lostid.domain.position import Position
from lostid.registry.digest import DIGEST_BYTES

_NONCE_BYTES = 12


def seal(key: bytes, at: Position, total: int) -> bytes:
    """Nobody who reads the ledger learns the sum, nor can move it to another entry. ``key``: 32 bytes."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, total.to_bytes(DIGEST_BYTES), _bound(at))


def unseal(key: bytes, at: Position, sealed: bytes) -> int | None:
    """None for anything that was not sealed for this entry."""
    try:
        return int.from_bytes(AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _bound(at)))
    except (InvalidTag, ValueError):
        return None


def _bound(at: Position) -> bytes:
    return at.seq.to_bytes(8) + at.hash
