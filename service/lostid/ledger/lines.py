"""A line of the journal, the lines of a batch, and both in PostgreSQL's binary COPY format (its manual, COPY).

Packed by hand, because it happens in the worker that answers checks: about 1 µs a line, a third of that in a batch; and
at once, because bytes are no work for the garbage collector, as thousands of tuples that wait would be.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from struct import Struct
from typing import Final, NamedTuple, TypeAlias


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


Item: TypeAlias = tuple[bytes | None, str, str | None]
"""Of a batch: document key, status, reference."""


class Lines(NamedTuple):
    """The lines of a batch: what they have in common once. An item's place is its place in the batch."""

    at_ms: int
    id: str
    key_id: str
    org: str
    operator: str
    purpose: str
    seq: int
    items: Sequence[Item]


COPY: Final = """
    COPY journal (at, seq, id, key_id, org, operator, purpose, item, doc_key, status, reference)
    FROM STDIN (FORMAT binary)
"""
HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # signature, flags, length of the header's extension
TRAILER: Final = b"\xff\xff"
_NULL: Final = b"\xff\xff\xff\xff"
_EPOCH_2000_MS: Final = 946_684_800_000
# The number of fields, then at (microseconds since 2000) and seq: each with its length before it.
_SHARED: Final = Struct("!hiqiq").pack
_ITEM: Final = Struct("!ii").pack
_KEYED_ITEM: Final = Struct("!iii16s").pack  # item and document key
_LENGTH: Final = Struct("!i").pack


def packed(line: Line) -> bytes:
    """A row, as it stands between header and trailer. Raises ValueError or struct.error for what cannot be written."""
    at_ms, id_, item, doc_key, key_id, org, operator, purpose, reference, status, seq = line
    return _shared(at_ms, seq, id_, key_id, org, operator, purpose) + _own(item, doc_key, status, reference)


def packed_batch(lines: Lines) -> bytes:
    """The rows of a batch, as they stand between header and trailer."""
    at_ms, id_, key_id, org, operator, purpose, seq, items = lines
    shared = _shared(at_ms, seq, id_, key_id, org, operator, purpose)
    return shared + shared.join([_own(place, *item) for place, item in enumerate(items)])


def _shared(at_ms: int, seq: int, id_: str, key_id: str, org: str, operator: str, purpose: str) -> bytes:
    fixed = _SHARED(11, 8, (at_ms - _EPOCH_2000_MS) * 1000, 8, seq)
    return b"%b%b%b" % (fixed, _text(id_), _texts(key_id, org, operator, purpose))


def _own(item: int, doc_key: bytes | None, status: str, reference: str | None) -> bytes:
    placed = _ITEM(4, item) + _NULL if doc_key is None else _KEYED_ITEM(4, item, 16, doc_key)
    return placed + _texts(status) + (_NULL if reference is None else _text(reference))


def _text(text: str) -> bytes:
    raw = text.encode()
    return _LENGTH(len(raw)) + raw


@lru_cache(maxsize=4096)  # a bound, because `operator` is the caller's
def _texts(*texts: str) -> bytes:
    """Of whoever asks and of what is answered: few different ones come again and again."""
    return b"".join([_text(text) for text in texts])
