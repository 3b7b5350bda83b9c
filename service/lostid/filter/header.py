"""The first 4096 bytes of a filter file: what the bits behind it mean, and up to where they are true.

The fixed part is written once and checked by a digest. The moving part is made of aligned 8-byte words, each stored in
one move by the file's one writer:

* `bits_set` is raised after the bits it counts, so that a filter never holds fewer than its header says. Bits that were
  lost (a torn page, a disk that lied) show as a count that is too low;
* the position (seq, hash) carries a digest of its own: a pair torn by a kill is no pair.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from hashlib import blake2b
from typing import Final

from lostid.domain.position import Position
from lostid.filter.bloom import Sizing

HEADER_BYTES: Final = 4096
MAGIC: Final = b"lostid:F"
FORMAT: Final = 1

# magic, format, slices, capacity, error rate, bits per slice, gen, key id, boot id
_FIXED: Final = struct.Struct("<8sIIQdQQ8s16s")
_DIGEST: Final = struct.Struct("<8s")
_STATE, _COUNT, _BITS_SET, _SEQ, _HASH, _CHECK = 32, 33, 34, 35, slice(36, 40), 40  # words from the start of the file
_WORDS4: Final = struct.Struct("<4Q")


class Malformed(Exception):
    """This file cannot be used as a filter; the sentence says why. The answer is a new one, never a repair."""


class State(IntEnum):
    BUILDING = 1
    COMPLETE = 2


@dataclass(frozen=True, slots=True)
class Identity:
    """What must not differ between the file, the page and the process that reads them."""

    gen: int
    key_id: bytes
    boot_id: bytes


def pack_fixed(identity: Identity, sizing: Sizing) -> bytes:
    body = _FIXED.pack(
        MAGIC,
        FORMAT,
        sizing.slices,
        sizing.capacity,
        sizing.error_rate,
        sizing.bits_per_slice,
        identity.gen,
        identity.key_id,
        identity.boot_id,
    )
    return body + _digest(body)


def unpack_fixed(raw: bytes | memoryview) -> tuple[Identity, Sizing]:
    """Raises Malformed unless the file is of this format and its fixed part is whole."""
    body = bytes(raw[: _FIXED.size])
    if len(body) < _FIXED.size or body[:8] != MAGIC:
        raise Malformed("not a filter file")
    _, version, slices, capacity, rate, bits, gen, key_id, boot_id = _FIXED.unpack(body)
    if version != FORMAT:
        raise Malformed(f"filter format {version}, this program reads {FORMAT}")
    if bytes(raw[_FIXED.size : _FIXED.size + _DIGEST.size]) != _digest(body):
        raise Malformed("the header's digest does not fit")
    return Identity(gen, key_id, boot_id), Sizing(capacity, rate, slices, bits)


class Counters:
    """The moving part, over the mapped header. One writer; readers see each word whole."""

    def __init__(self, header: memoryview) -> None:
        self._words = header.cast("Q")

    @property
    def state(self) -> int:
        return self._words[_STATE]

    @state.setter
    def state(self, value: State) -> None:
        self._words[_STATE] = value

    @property
    def count(self) -> int:
        return self._words[_COUNT]

    @property
    def bits_set(self) -> int:
        return self._words[_BITS_SET]

    def store(self, count: int, bits_set: int) -> None:
        """To be called after the bits are there."""
        self._words[_COUNT] = count
        self._words[_BITS_SET] = bits_set

    def position(self) -> Position | None:
        """The pair last noted, or None if it was never noted whole."""
        words = self._words
        position = Position(words[_SEQ], words[_HASH].tobytes())
        return position if words[_CHECK] == _check(position) else None

    def note(self, position: Position) -> None:
        """The bits hold every entry up to here. May lag behind the page: applying an entry twice changes nothing."""
        words = self._words
        words[_CHECK] = 0
        words[_SEQ] = position.seq
        words[_HASH.start], words[_HASH.start + 1], words[_HASH.start + 2], words[_HASH.start + 3] = _WORDS4.unpack(
            position.hash
        )
        words[_CHECK] = _check(position)


def _digest(body: bytes) -> bytes:
    return blake2b(body, digest_size=8, person=b"lostid.filter.h").digest()


def _check(position: Position) -> int:
    digest = blake2b(position.seq.to_bytes(8, "big") + position.hash, digest_size=8, person=b"lostid.filter.p").digest()
    return int.from_bytes(digest, "little") | 1  # never 0: that word says that no pair was noted
