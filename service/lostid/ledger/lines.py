"""A line of the journal, and a batch of them in PostgreSQL's binary COPY format (its manual, COPY, "Binary Format").

Packed by hand, because it happens in the worker that answers checks: about 1 µs a line.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from struct import Struct
from typing import Final, NamedTuple


class Line(NamedTuple):
    at_ms: int
    id: str
    item: int  # place in a batch, from 0
    doc_key: bytes | None  # None: the number was refused
    key_id: str
    org: str
    operator: str
    purpose: str
    reference: str | None
    status: str  # a status, or the code of a refusal
    seq: int


COPY: Final = """
    COPY journal (at, item, seq, doc_key, id, key_id, org, operator, purpose, status, reference)
    FROM STDIN (FORMAT binary)
"""
HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # signature, flags, length of the header's extension
TRAILER: Final = b"\xff\xff"
_NULL: Final = b"\xff\xff\xff\xff"
_EPOCH_2000_MS: Final = 946_684_800_000
# The number of fields, then at (microseconds since 2000), item, seq: each with its length before it.
_FIXED: Final = Struct("!hiqiiiq").pack
_LENGTH: Final = Struct("!i").pack


def packed(lines: Iterable[Line]) -> bytes:
    """What stands between header and trailer."""
    parts: list[bytes] = []
    for at_ms, id_, item, doc_key, key_id, org, operator, purpose, reference, status, seq in lines:
        line = b"%b%b%b%b%b" % (
            _FIXED(11, 8, (at_ms - _EPOCH_2000_MS) * 1000, 4, item, 8, seq),
            _NULL if doc_key is None else _LENGTH(len(doc_key)) + doc_key,
            _text(id_),
            _texts(key_id, org, operator, purpose, status),
            _NULL if reference is None else _text(reference),
        )
        parts.append(line)
    return b"".join(parts)


def _text(text: str) -> bytes:
    raw = text.encode()
    return _LENGTH(len(raw)) + raw


@lru_cache(maxsize=4096)  # a bound, because `operator` is the caller's
def _texts(*texts: str) -> bytes:
    """Of whoever asks and of what is answered: few different ones come again and again."""
    return b"".join([_text(text) for text in texts])
