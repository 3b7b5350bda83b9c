"""The filter of a mirror: which numbers have no record. Laid out as the registry's own, under the mirror's key.

Bits are only ever set, so a reader in another thread never misses a document that was added before it looked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from struct import Struct

POSITION_BYTES = 16
_HALVES = Struct("<QQ")
_MASKS = tuple(1 << bit for bit in range(8))

# The registry's own (its domain/keys.py): a test holds the two together by their results.
_token_hash = partial(blake2b, digest_size=16, person=b"lostid.token.1")
_mirror_hash = partial(blake2b, digest_size=POSITION_BYTES, person=b"lostid.mirror.1")
_check_hash = partial(blake2b, digest_size=8, person=b"lostid.mirrorid1")

Contains = Callable[[bytes], bool]


@dataclass(frozen=True, slots=True)
class Sizing:
    """``slices`` parts of ``bits_per_slice`` bits each; as the snapshot says, never computed."""

    slices: int
    bits_per_slice: int

    @property
    def bytes(self) -> int:
        """Room for the bits, in whole 8-byte words."""
        return (self.slices * self.bits_per_slice + 63) // 64 * 8


class Positions:
    """Where documents stand in one mirror's filter."""

    def __init__(self, mirror_key: bytes, outer_key: bytes) -> None:
        self._outer_key = outer_key
        self._hash = _mirror_hash(key=mirror_key)
        self.key_check = _check_hash(key=mirror_key).hexdigest()
        """What the registry says with everything that it makes under this key."""
        self._prefixes: dict[tuple[str, str], blake2b] = {}

    def of(self, env: str, type: str, number: str) -> bytes:
        """16 bytes for a canonical number: the token under the outer key, keyed again with the mirror's."""
        prefix = self._prefixes.get((env, type))
        if prefix is None:
            prefix = _token_hash(_prefixed(env) + _prefixed(type), key=self._outer_key)
            self._prefixes[env, type] = prefix
        token = prefix.copy()
        token.update(_prefixed(number))
        made = self._hash.copy()
        made.update(token.digest())
        return made.digest()


def contains_in(bits: bytearray, sizing: Sizing) -> Contains:
    """The look-up, with everything constant bound: most documents are absent after two probes."""
    unpack, size, masks = _HALVES.unpack, sizing.bits_per_slice, _MASKS
    offsets = tuple(i * size for i in range(sizing.slices))

    def contains(position: bytes) -> bool:
        at, step = unpack(position)
        at %= size
        step %= size
        for offset in offsets:
            bit = offset + at % size
            if not bits[bit >> 3] & masks[bit & 7]:
                return False
            at += step
        return True

    return contains


def add(bits: bytearray, sizing: Sizing, positions: bytes) -> None:
    """Set the bits of documents whose positions stand end to end."""
    size = sizing.bits_per_slice
    for first, step in _HALVES.iter_unpack(positions):
        for i in range(sizing.slices):
            bit = i * size + (first + i * step) % size
            bits[bit >> 3] |= _MASKS[bit & 7]


def _prefixed(text: str) -> bytes:
    raw = text.encode("ascii")
    return len(raw).to_bytes(2, "big") + raw
