"""A part of an import's file as the ledger keeps it, and its rows in PostgreSQL's binary COPY format. No I/O."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

import numpy as np

from lostid.domain import staged
from lostid.domain.staged import EFFECTS_A_LINE, KEY_BYTES, ORDINAL_BYTES, PART_LINES, ROW_BYTES
from lostid.ledger.lines import HEADER, TRAILER

PRINT_BYTES: Final = 16
NO_PRINT: Final = bytes(PRINT_BYTES)
"""Of a line with nothing on it."""
SEALED_BYTES: Final = 16 + 12 + 16 + 16  # a document key; nonce, token and tag of its sealed token
LINE_DIFFERS: Final = "line_differs"

COPY: Final = "COPY import_covers (doc_key, import, ordinal, effect) FROM STDIN (FORMAT binary)"
_EFFECT_BYTES: Final = ROW_BYTES - KEY_BYTES - ORDINAL_BYTES


class Rejection(NamedTuple):
    line: int
    code: str
    field: str | None


class Part(NamedTuple):
    """Up to PART_LINES lines; the first is line `part` * PART_LINES + 1."""

    part: int
    lines: int
    accepted: int
    prints: bytes
    rows: bytes
    sealed: bytes
    cases: str

    @property
    def digest(self) -> bytes:
        return staged.part_digest(self.part, self.rows)

    def print_of(self, place: int) -> bytes:
        return self.prints[place * PRINT_BYTES : (place + 1) * PRINT_BYTES]


def joined(first: Part, more: Part) -> Part:
    """The lines of `more` come after those of `first`, in the same part of the file."""
    return Part(
        first.part,
        first.lines + more.lines,
        first.accepted + more.accepted,
        first.prints + more.prints,
        first.rows + more.rows,
        first.sealed + more.sealed,
        "\n".join(filter(None, (first.cases, more.cases))),
    )


def cut(part: Part, gone: Collection[int]) -> Part:
    """The part without what these lines did; they stay known by their prints."""
    rows: list[bytes] = []
    lines: list[int] = []
    for at in range(0, len(part.rows), ROW_BYTES):
        row = part.rows[at : at + ROW_BYTES]
        line = int.from_bytes(row[KEY_BYTES : KEY_BYTES + ORDINAL_BYTES]) // EFFECTS_A_LINE
        if not lines or lines[-1] != line:
            lines.append(line)
        if line not in gone:
            rows.append(row)
    kept = {row[:KEY_BYTES] for row in rows}
    tokens = (part.sealed[at : at + SEALED_BYTES] for at in range(0, len(part.sealed), SEALED_BYTES))
    cases = [case for line, case in zip(lines, part.cases.split("\n"), strict=False) if line not in gone]
    return part._replace(
        accepted=len(cases),
        rows=b"".join(rows),
        sealed=b"".join(token for token in tokens if token[:KEY_BYTES] in kept),
        cases="\n".join(cases),
    )


def beyond(part: Part, last: int) -> list[int]:
    """The lines after `last` that have something on them."""
    first = part.part * PART_LINES + 1
    return [first + place for place in range(part.lines) if first + place > last and part.print_of(place) != NO_PRINT]


def copied(number: int, rows: bytes) -> bytes:
    """The rows for COPY, in the order of their keys: pages of the index are then touched once and not at random."""
    table = np.frombuffer(rows, np.uint8).reshape(-1, ROW_BYTES)
    order = np.argsort(np.ascontiguousarray(table[:, :8]).view(">u8").ravel(), kind="stable")
    table = table[order]
    columns = (
        _constant((4).to_bytes(2)),
        _constant(KEY_BYTES.to_bytes(4)),
        table[:, :KEY_BYTES],
        _constant((8).to_bytes(4) + number.to_bytes(8)),
        _constant(ORDINAL_BYTES.to_bytes(4)),
        table[:, KEY_BYTES : KEY_BYTES + ORDINAL_BYTES],
        _constant(_EFFECT_BYTES.to_bytes(4)),
        table[:, KEY_BYTES + ORDINAL_BYTES :],
    )
    filled = np.hstack([np.broadcast_to(column, (len(table), column.shape[-1])) for column in columns])
    return HEADER + filled.tobytes() + TRAILER


def _constant(raw: bytes) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    return np.frombuffer(raw, np.uint8)
