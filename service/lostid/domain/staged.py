"""Staged rows: what an import does to document keys, in 48 bytes each, until its entry puts them in force.

    key 16 | ordinal 8 | action 1 | kind 1 | flags 1 | watermark 4 | serial tag 8 | reason 1 | effective 8 (ms)

All numbers big-endian, watermark and effective signed. ordinal: the line << 8, and the place among the line's effects.
flags: 1 final, 2 open-ended, 4 there is a watermark, 8 there is a serial tag. reason: its place in REASON_CODES.

The lines of a file come in parts of PART_LINES; the digest of an import is SHA-256 over its parts, in order, as
`part_digest` gives them. It stands in the entry that puts the import in force, so that the chain's hash covers every
row as it covers a report's effects. A row that is changed afterwards does not match it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from struct import Struct
from typing import Final

from lostid.domain.covers import Action, Cover, CoverKind, Effect

ROW_BYTES: Final = 48
KEY_BYTES: Final = 16
ORDINAL_BYTES: Final = 8
PART_LINES: Final = 8_192
EFFECTS_A_LINE: Final = 256
REASON_CODES: Final = ("lost", "stolen", "found", "seized", "replaced", "cancelled", "deceased")
"""Stored by their place: append only. The view `effects` repeats them; a test holds the two together."""

_FINAL, _OPEN_ENDED, _WATERMARK, _TAG = 1, 2, 4, 8
_NO_TAG: Final = bytes(8)
_ROW: Final = Struct(">16sQBBBi8sBq")
_PLACE: Final = Struct(">II32s")
_REASON_AT: Final = 39
_REASON_OF: Final = {name: place for place, name in enumerate(REASON_CODES)}


def reasons_in(rows: bytes) -> frozenset[str]:
    """What the rows of a part were reported for."""
    return frozenset(REASON_CODES[code] for code in set(rows[_REASON_AT::ROW_BYTES]))


@dataclass(frozen=True, slots=True)
class Flip:
    """What an entry says of the import that it puts in force or takes back as a whole."""

    number: int
    rows: int
    digest: bytes


def packed(effect: Effect, line: int, place: int) -> bytes:
    """An ADD or NARROW as a row. `effect.seq`, `ordinal` and `report_id` are not kept: the import gives them."""
    cover = effect.cover
    if cover is None:
        raise ValueError("a staged row has a cover")
    flags = (_FINAL if cover.final else 0) | (_OPEN_ENDED if cover.open_ended else 0)
    watermark, tag = 0, _NO_TAG
    if cover.watermark is not None:
        flags, watermark = flags | _WATERMARK, cover.watermark
    if cover.serial_tag is not None:
        flags, tag = flags | _TAG, cover.serial_tag
    return _ROW.pack(
        effect.key,
        line * EFFECTS_A_LINE + place,
        effect.action,
        cover.kind,
        flags,
        watermark,
        tag,
        _REASON_OF[cover.reason],
        cover.effective_at_ms,
    )


def effects(rows: bytes, seq: int, report_id: str) -> Iterator[Effect]:
    """The rows as effects of the entry `seq`. The ordinal keeps their order within it."""
    for key, ordinal, action, kind, flags, watermark, tag, reason, effective_ms in _ROW.iter_unpack(rows):
        cover = Cover(
            CoverKind(kind),
            watermark if flags & _WATERMARK else None,
            tag if flags & _TAG else None,
            bool(flags & _FINAL),
            bool(flags & _OPEN_ENDED),
            REASON_CODES[reason],
            effective_ms,
        )
        yield Effect(key, seq, ordinal, Action(action), report_id, cover)


def keys_of(rows: bytes) -> list[bytes]:
    """The document keys of the rows, in their order."""
    return [rows[at : at + KEY_BYTES] for at in range(0, len(rows), ROW_BYTES)]


def joined_keys(rows: bytes) -> bytes:
    """The document keys end to end."""
    return b"".join(keys_of(rows))


def part_digest(part: int, rows: bytes) -> bytes:
    return sha256(_PLACE.pack(part, len(rows) // ROW_BYTES, sha256(rows).digest())).digest()


def digest(parts: Iterable[bytes]) -> bytes:
    """Of a whole import: `parts` are the digests of its parts, in order."""
    return sha256(b"lostid.import.v1\0" + b"".join(parts)).digest()
