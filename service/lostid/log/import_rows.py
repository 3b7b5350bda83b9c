"""Reading the rows of released imports again: are they still those that their entry names?

The parts of an import have to give the digest in its entry, and the table by which exact answers are found has to hold
the same rows and no others. Part after part, a little in each turn, for ever: millions of rows are not read at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from lostid.domain import staged
from lostid.domain.staged import Flip
from lostid.ledger import import_reading
from lostid.ledger.errors import LedgerFault
from lostid.ledger.import_reading import Reading
from lostid.ledger.statement import Conn, Statement

ROWS_ALTERED = "rows_altered"


class Released(NamedTuple):
    """An import in force, or that once was; and the entry that made it so."""

    seq: int
    flip: Flip


_RELEASED = Statement(
    """
    SELECT release_seq, number, staged, digest FROM imports
     WHERE release_seq > %(after)s ORDER BY release_seq LIMIT 1
    """,
    lambda rows: Released(rows[0][0], Flip(*rows[0][1:])) if rows else None,
)
_BY_KEY = Statement(
    """
    SELECT doc_key || int8send(ordinal) || effect FROM import_covers
     WHERE doc_key = ANY (%(keys)s) AND import = %(number)s
    """,
    lambda rows: {row[0] for row in rows},
)
_HOW_MANY = Statement("SELECT count(*) FROM import_covers WHERE import = %(number)s", lambda rows: int(rows[0][0]))


class Sweep:
    """`turn` reads one part. Afterwards `faults` has the entries whose import was found altered."""

    def __init__(self) -> None:
        self._at: Released | None = None
        self._reading: Reading | None = None

    def turn(self, conn: Conn) -> Iterator[tuple[int, str]]:
        if self._at is None or self._reading is None:
            self._at = _RELEASED.run(conn, {"after": 0}) if self._at is None else self._after(conn, self._at)
            self._reading = None if self._at is None else Reading(self._at.flip.number)
        if self._at is None or self._reading is None:
            return
        rows = self._reading.next(conn)
        if rows is not None:
            if not _indexed(conn, self._at.flip, rows):
                yield self._at.seq, ROWS_ALTERED
            return
        if self._reading.digest != self._at.flip.digest or not _no_more(conn, self._at.flip):
            yield self._at.seq, ROWS_ALTERED
        self._reading = None

    @staticmethod
    def _after(conn: Conn, at: Released) -> Released | None:
        return _RELEASED.run(conn, {"after": at.seq})


def named(conn: Conn, flip: Flip) -> bool:
    """Whether the parts are those that the entry names."""
    try:
        return all(True for _ in import_reading.parts(conn, flip))
    except LedgerFault:
        return False


def whole(conn: Conn, flip: Flip) -> bool:
    """Whether the parts are, and the table by document key as well. Takes its time."""
    try:
        return all(_indexed(conn, flip, rows) for rows in import_reading.parts(conn, flip)) and _no_more(conn, flip)
    except LedgerFault:
        return False


def _indexed(conn: Conn, flip: Flip, rows: bytes) -> bool:
    told = {rows[at : at + staged.ROW_BYTES] for at in range(0, len(rows), staged.ROW_BYTES)}
    found = _BY_KEY.run(conn, {"number": flip.number, "keys": list(dict.fromkeys(staged.keys_of(rows)))})
    return told <= found


def _no_more(conn: Conn, flip: Flip) -> bool:
    return _HOW_MANY.run(conn, {"number": flip.number}) == flip.rows
