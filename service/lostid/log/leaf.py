"""The leaf of an entry: what the published log says of it.

A leaf commits to the entry without telling what stands in it: version, seq, time and a salted hash of the entry's
chain hash. Without the salt nobody can try candidate entries against a leaf; when the salt is deleted the tree stands
as it was, and the entry can no longer be shown to belong to it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

SALT_BYTES = 32
_VERSION = 1
_COMMITMENT_DOMAIN = b"lostid.leaf.v1\x00"
_LEAF_BYTES = 1 + 8 + 8 + 32


@dataclass(frozen=True, slots=True)
class Leaf:
    """What an entry bundle holds for one entry; the leaf's index is ``seq - 1``."""

    seq: int
    recorded_ms: int
    commitment: bytes

    def encode(self) -> bytes:
        """49 bytes: version, seq and recorded_ms (64 bits big-endian each), commitment."""
        return bytes([_VERSION]) + self.seq.to_bytes(8, "big") + self.recorded_ms.to_bytes(8, "big") + self.commitment

    @classmethod
    def decode(cls, raw: bytes) -> Leaf:
        """Read what ``encode`` wrote.

        Raises:
            ValueError: another version or length.
        """
        if len(raw) != _LEAF_BYTES or raw[0] != _VERSION:
            raise ValueError("not a leaf of version 1")
        return cls(int.from_bytes(raw[1:9], "big"), int.from_bytes(raw[9:17], "big"), raw[17:])


def commitment(salt: bytes, chain_hash: bytes) -> bytes:
    """SHA-256 over domain, salt and the entry's chain hash (which covers seq, time, body and all entries before it)."""
    if len(salt) != SALT_BYTES:
        raise ValueError("a salt has 32 bytes")
    return hashlib.sha256(_COMMITMENT_DOMAIN + salt + chain_hash).digest()
