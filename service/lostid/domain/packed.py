"""The packed record: as much of a record as a status needs, in some fifteen bytes, sealed by a keyed tag.

Format 0, all numbers big-endian:

    flags       1 byte    bits 7-6 format, 5 final ALL, 4 reversible ALL, 3 final watermark, 2 reversible watermark,
                          1-0 number of extras (3: a varint before them tells it)
    watermarks  2 bytes   each, final first: the largest of the THROUGH covers (day number or issue number)
    extras      9 bytes   each: kind byte (bit 7 final; low bits ONLY 3, ALL_BUT 4, ALSO_SPARED 5), 8-byte serial tag.
                          ALSO_SPARED belongs to the ALL_BUT before it. Kind bytes with bit 6 are kept for imports.
    seq         varint    the entry that this is the record after (LEB128, shortest form)
    tag         8 bytes   BLAKE2b-64(tag key, document key || all of the above)

A format byte or kind that is not known here is refused like a wrong tag: the reader then asks the ledger.
"""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from hashlib import blake2b
from typing import Final

from lostid.domain.covers import CoverKind, Reach
from lostid.domain.keys import SERIAL_TAG_BYTES
from lostid.domain.record import Record

FORMAT: Final = 0
_TAG_BYTES: Final = 8
_WATERMARK_MAX: Final = 0xFFFF
_FINAL_BIT: Final = 0x80
_ALSO_SPARED: Final = 5
_LOW_BITS: Final = 14
_LOW: Final = (1 << _LOW_BITS) - 1
_SERIAL_KINDS: Final = (CoverKind.ONLY, CoverKind.ALL_BUT)

_tag_hash = partial(blake2b, digest_size=_TAG_BYTES, person=b"lostid.record.0")


class TamperedRecord(Exception):
    """These bytes are not a record that was packed for this document key with this tag key."""


@dataclass(frozen=True, slots=True)
class PackedCover:
    """As much of a cover as a packed record keeps."""

    kind: CoverKind
    final: bool
    watermark: int | None = None
    serial_tag: bytes | None = None
    also_spared: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Packed:
    """What a packed record says, and the entry it is the record after."""

    reaches: tuple[PackedCover, ...]
    seq: int


def pack(record: Record, seq: int, key: bytes, tag_key: bytes) -> bytes | None:
    """The bytes for a record; None where nothing is in force and the field is to be deleted.

    Says the same of every card as the record itself, and the same bytes for the same covers in any order.
    """
    if not record.covers:
        return None
    body = _pack_covers(record.reaches) + _varint(seq)
    return body + _tag(tag_key, key, body)


class Sealer:
    """`pack` in two halves, for whoever packs the same covers under many document keys."""

    def __init__(self, tag_key: bytes) -> None:
        self._begun = _tag_hash(key=tag_key)

    @staticmethod
    def covers(reaches: Iterable[Reach]) -> bytes:
        """The first half: no empty `reaches`."""
        return _pack_covers(reaches)

    def seal(self, covers: bytes, seq: int, key: bytes) -> bytes:
        body = covers + _varint(seq)
        tag = self._begun.copy()
        tag.update(key + body)
        return body + tag.digest()


def unpack(value: bytes, key: bytes, tag_key: bytes) -> Packed:
    """What the bytes say. Raises TamperedRecord for anything that `pack` did not make for this key."""
    body, tag = value[:-_TAG_BYTES], value[-_TAG_BYTES:]
    if not hmac.compare_digest(tag, _tag(tag_key, key, body)):
        raise TamperedRecord("tag")
    try:
        return _Reader(body).packed()
    except (IndexError, ValueError):
        # The tag is right, so this was written by a later release of ours: not to be guessed at.
        raise TamperedRecord("format") from None


def _tag(tag_key: bytes, key: bytes, body: bytes) -> bytes:
    return _tag_hash(key + body, key=tag_key).digest()


def _pack_covers(reaches: Iterable[Reach]) -> bytes:
    covers = _telling(list(reaches))
    flags = FORMAT << 6
    watermarks = b""
    for final, all_bit, through_bit in ((True, 0x20, 0x08), (False, 0x10, 0x04)):
        same = [cover for cover in covers if cover.final is final]
        if any(cover.kind is CoverKind.ALL for cover in same):
            flags |= all_bit
        through = [cover.watermark or 0 for cover in same if cover.kind is CoverKind.THROUGH]
        if through:
            flags |= through_bit
            watermarks += min(max(through), _WATERMARK_MAX).to_bytes(2, "big")
    groups = sorted({_extra(cover) for cover in covers if cover.kind in _SERIAL_KINDS})
    count = sum(len(group) for group in groups) // (1 + SERIAL_TAG_BYTES)
    number = b"" if count < 3 else _varint(count)
    return bytes([flags | min(count, 3)]) + watermarks + number + b"".join(groups)


def _telling(reaches: list[Reach]) -> list[Reach]:
    """The covers that can decide a status: beside an ALL nothing weaker is ever asked."""
    if any(cover.final and cover.kind is CoverKind.ALL for cover in reaches):
        return [cover for cover in reaches if cover.final and cover.kind is CoverKind.ALL]
    if any(cover.kind is CoverKind.ALL for cover in reaches):
        return [cover for cover in reaches if cover.final or cover.kind is CoverKind.ALL]
    return reaches


def _extra(cover: Reach) -> bytes:
    final = _FINAL_BIT if cover.final else 0
    packed = bytes([final | cover.kind]) + (cover.serial_tag or b"")
    return packed + b"".join(bytes([final | _ALSO_SPARED]) + tag for tag in sorted(cover.also_spared))


def _varint(number: int) -> bytes:
    """By two bytes at a time, which come again and again where the number itself does not."""
    high = number >> _LOW_BITS
    return _low(number & _LOW) + (_varint(high) if high >> _LOW_BITS else _whole(high)) if high else _whole(number)


@lru_cache(1 << 14)
def _low(number: int) -> bytes:
    """Two bytes that are not the last."""
    return bytes([0x80 | number & 0x7F, 0x80 | number >> 7])


@lru_cache(1 << 14)
def _whole(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(0x80 | number & 0x7F)
        number >>= 7
    out.append(number)
    return bytes(out)


class _Reader:
    """Reads a body from the front; ValueError or IndexError for what is not the format."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def packed(self) -> Packed:
        flags = self._byte()
        if flags >> 6 != FORMAT:
            raise ValueError("format")
        covers: list[PackedCover] = []
        for final, bit in ((True, 0x20), (False, 0x10)):
            if flags & bit:
                covers.append(PackedCover(CoverKind.ALL, final))
        for final, bit in ((True, 0x08), (False, 0x04)):
            if flags & bit:
                covers.append(PackedCover(CoverKind.THROUGH, final, int.from_bytes(self._take(2), "big")))
        count = flags & 3
        covers += self._extras(self._number() if count == 3 else count)
        seq = self._number()
        if self._at != len(self._body):
            raise ValueError("rest")
        return Packed(tuple(covers), seq)

    def _extras(self, count: int) -> list[PackedCover]:
        covers: list[PackedCover] = []
        for _ in range(count):
            kind = self._byte()
            tag = self._take(SERIAL_TAG_BYTES)
            final = bool(kind & _FINAL_BIT)
            if kind & ~_FINAL_BIT == _ALSO_SPARED:
                last = covers.pop()
                covers.append(PackedCover(last.kind, final, None, last.serial_tag, (*last.also_spared, tag)))
            elif kind & ~_FINAL_BIT in _SERIAL_KINDS:
                covers.append(PackedCover(CoverKind(kind & ~_FINAL_BIT), final, None, tag))
            else:
                raise ValueError("kind")
        return covers

    def _byte(self) -> int:
        return self._take(1)[0]

    def _take(self, size: int) -> bytes:
        taken = self._body[self._at : self._at + size]
        if len(taken) != size:
            raise ValueError("short")
        self._at += size
        return taken

    def _number(self) -> int:
        number = shift = 0
        while True:
            byte = self._byte()
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number
