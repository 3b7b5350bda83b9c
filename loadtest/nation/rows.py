"""Synthetic effects by the hundred, as bytes: the body of their entry, and their rows for COPY.

Speed is all that this file is about. What it makes is what `ledger/bodies.py` and `ledger/entries.py` would make of the
same effects; a test holds them together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lostid.domain.covers import Action, CoverKind
from lostid.ledger import bodies

AN_ENTRY: Final = 100
KIND: Final = "synthetic"
COPY_HEAD: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_END: Final = b"\xff\xff"
EFFECTIVE_MS: Final = 1_700_000_000_000
FIRST_DAY, LAST_DAY = 13_000, 15_000
"""Watermarks, as days since 1980: after the old cards of `lostid_load.population`, before the new ones."""


@dataclass(frozen=True, slots=True)
class Reason:
    """What all reports of one entry have in common."""

    name: str
    final: bool
    by_day: bool


_OFTEN: Final = (Reason("lost", False, True), Reason("stolen", False, True))
_SELDOM: Final = {
    7: Reason("replaced", True, True),
    8: Reason("replaced", True, True),
    9: Reason("deceased", True, False),
}


def reason_of(seq: int) -> Reason:
    """94 of 100 entries are losses and thefts, 4 replacements, 2 deaths."""
    return _SELDOM.get(seq % 50, _OFTEN[seq % 2])


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry's part of the ledger."""

    seq: int
    id: str
    body: bytes
    rows: bytes
    """Of `covers`, in PostgreSQL's binary COPY format."""


def entry(seq: int, keys: bytes, days: npt.NDArray[np.int64]) -> Entry:
    """``keys``: document keys end to end; ``days``: the watermark of each, used where the reason has one."""
    reason, id_ = reason_of(seq), f"syn_{seq:012d}"
    return Entry(seq, id_, _body(reason, id_, keys, days), _rows(reason, id_, seq, keys, days))


def _body(reason: Reason, id_: str, keys: bytes, days: npt.NDArray[np.int64]) -> bytes:
    kind, final = CoverKind.THROUGH if reason.by_day else CoverKind.ALL, str(reason.final).lower()
    head = f'{{"action":{Action.ADD:d},"cover":{kind:d},"effective_ms":{EFFECTIVE_MS},"final":{final},"key":"'
    tail = f'","open_ended":false,"reason":"{reason.name}","report_id":"{id_}"'
    named = keys.hex()
    ends = [f'{tail},"watermark":{day}}}' for day in days.tolist()] if reason.by_day else [tail + "}"] * len(days)
    return bodies.assembled(KIND, id_, {}, [f"{head}{named[32 * i : 32 * i + 32]}{end}" for i, end in enumerate(ends)])


def _rows(reason: Reason, id_: str, seq: int, keys: bytes, days: npt.NDArray[np.int64]) -> bytes:
    made = np.tile(_template(reason, id_), len(days))
    made["doc_key"] = np.frombuffer(keys, "V16")
    made["seq"], made["ordinal"] = seq, np.arange(len(days))
    if reason.by_day:
        made["watermark"] = days
    return made.tobytes()


@cache
def _layout(reason: Reason, id_bytes: int) -> npt.NDArray[Any]:
    """One row: the number of columns, and before each column its length (-1: null)."""
    columns: list[tuple[str, str | None, Any]] = [
        ("doc_key", "V16", None),
        ("seq", ">i8", 0),
        ("ordinal", ">i4", 0),
        ("action", ">i2", Action.ADD),
        ("report_id", f"S{id_bytes}", b""),
        ("kind", ">i2", CoverKind.THROUGH if reason.by_day else CoverKind.ALL),
        ("watermark", ">i4" if reason.by_day else None, 0),
        ("serial_tag", None, None),
        ("final", "?", reason.final),
        ("open_ended", "?", False),
        ("reason", f"S{len(reason.name)}", reason.name.encode()),
        ("effective_ms", ">i8", EFFECTIVE_MS),
    ]
    fields: list[tuple[str, str]] = [("columns", ">i2")]
    for name, form, _ in columns:
        fields += [(f"{name}_bytes", ">i4"), *([(name, form)] if form else [])]
    row = np.zeros(1, np.dtype(fields))
    row["columns"] = len(columns)
    for name, form, value in columns:
        row[f"{name}_bytes"] = np.dtype(form).itemsize if form else -1
        if form and value is not None:
            row[name] = value
    return row


def _template(reason: Reason, id_: str) -> npt.NDArray[Any]:
    row = _layout(reason, len(id_)).copy()
    row["report_id"] = id_.encode()
    return row
