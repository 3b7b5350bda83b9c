"""The rows of an import, read back part by part: for the filter, for the registry, and for whoever looks whether they
are still those that its entry names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from lostid.domain import staged
from lostid.domain.staged import Flip
from lostid.ledger.errors import LedgerFault
from lostid.ledger.statement import Conn, Statement, done, nothing

BEFORE_ALL: Final = -1


class Waiting(NamedTuple):
    """An import that may be released at any time."""

    number: int
    digest: bytes


class Rows(NamedTuple):
    part: int
    rows: bytes

    @property
    def digest(self) -> bytes:
        return staged.part_digest(self.part, self.rows)


WAITING = Statement(
    "SELECT number, digest FROM imports WHERE state = 'received' ORDER BY number",
    lambda rows: [Waiting(*row) for row in rows],
)
_NEXT = Statement(
    """
    SELECT part, rows FROM import_parts WHERE import = %(number)s AND part > %(after)s ORDER BY part LIMIT 1
    """,
    lambda rows: Rows(*rows[0]) if rows else None,
)
# What nobody has released is nobody's business yet.
RELEASED_PART = Statement(
    """
    SELECT part, rows FROM import_parts
     WHERE import = (SELECT number FROM imports WHERE number = %(number)s AND release_seq IS NOT NULL)
       AND part > %(after)s ORDER BY part LIMIT 1
    """,
    lambda rows: Rows(*rows[0]) if rows else None,
)
# Of the imports that are in force or may yet be; and of others what is not cleared away yet does no harm.
_NEXT_OF_ALL = Statement(
    """
    SELECT import, part, rows FROM import_parts WHERE (import, part) > (%(number)s, %(after)s)
     ORDER BY import, part LIMIT 1
    """,
    lambda rows: (int(rows[0][0]), Rows(*rows[0][1:])) if rows else None,
)
ROWS = Statement("SELECT coalesce(sum(staged), 0)::bigint FROM imports", lambda rows: int(rows[0][0]))
CONFIRM = Statement(
    """
    INSERT INTO import_staged (import, inc, digest)
    SELECT %(number)s, %(inc)s, %(digest)s WHERE EXISTS (SELECT FROM hosts WHERE inc = %(inc)s)
        ON CONFLICT (import, inc) DO UPDATE SET digest = excluded.digest
    """,
    nothing,
    writes=True,
)
FORGET = Statement(
    "DELETE FROM import_staged s WHERE NOT EXISTS (SELECT FROM hosts h WHERE h.inc = s.inc) RETURNING 1",
    done,
    writes=True,
)


class Reading:
    """One pass over the rows of an import. `digest` is that of what has been read."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._after = BEFORE_ALL
        self._parts: list[bytes] = []

    def next(self, conn: Conn) -> bytes | None:
        """The rows of the next part; None at the end."""
        found = next_part(conn, self.number, self._after)
        if found is None:
            return None
        self._after = found.part
        self._parts.append(found.digest)
        return found.rows

    @property
    def digest(self) -> bytes:
        return staged.digest(self._parts)

    def prove(self, flip: Flip) -> None:
        """At the end: raises LedgerFault where these are not the rows that the entry put in force."""
        if self.digest != flip.digest:
            raise LedgerFault(f"the rows of import {self.number} are not those that its entry names: they were altered")


def next_part(conn: Conn, number: int, after: int) -> Rows | None:
    return _NEXT.run(conn, {"number": number, "after": after})


def parts(conn: Conn, flip: Flip) -> Iterator[bytes]:
    """All rows that a flip is about. Raises LedgerFault after the last where they are others."""
    reading = Reading(flip.number)
    while (rows := reading.next(conn)) is not None:
        yield rows
    reading.prove(flip)


def all_parts(conn: Conn) -> Iterator[bytes]:
    """The rows of every import, released or not."""
    number, after = 0, BEFORE_ALL
    while (found := _NEXT_OF_ALL.run(conn, {"number": number, "after": after})) is not None:
        number, (after, rows) = found[0], found[1]
        yield rows
