"""The whole ledger as of one entry, page by page, for those who build a copy of it (filter, registry).

    with snapshot(conn) as head:
        for key, effects in effects_by_key(conn): ...

Everything read inside is the fold of the entries up to `head`, whatever is appended meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from typing import Any, Final

from lostid.domain.covers import Effect
from lostid.ledger import covers, entries
from lostid.ledger.entries import Head
from lostid.ledger.errors import translated
from lostid.ledger.statement import Conn, Statement, nothing

KEY_BYTES: Final = 16
_PAGE: Final = 20_000
_BEFORE_ALL: Final = b""

# A copy may take minutes; its pages are short statements with idle time between them.
_HOLD = Statement(
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL idle_in_transaction_session_timeout = 0",
    nothing,
)
_NO_HURRY = Statement("SET LOCAL statement_timeout = 0", nothing)
_COUNT_KEYS = Statement("SELECT count(DISTINCT doc_key) FROM covers", lambda rows: int(rows[0][0]))

_EFFECTS = Statement(
    f"""
    SELECT {covers.COLUMNS} FROM covers c
     WHERE (c.doc_key, c.seq, c.ordinal) > (%(key)s, %(seq)s, %(ordinal)s)
     ORDER BY c.doc_key, c.seq, c.ordinal LIMIT %(limit)s
    """,
    lambda rows: [covers.effect(row) for row in rows],
)


@contextmanager
def snapshot(conn: Conn) -> Iterator[Head]:
    with translated(writing=False), conn.transaction():
        _HOLD.run(conn)
        yield entries.head(conn)


def count_keys(conn: Conn) -> int:
    """How many documents any entry ever touched. Reads the whole index, and may take its time."""
    with translated(writing=False), conn.transaction():
        _NO_HURRY.run(conn)
        return _COUNT_KEYS.run(conn)


def effects_by_key(conn: Conn, page: int = _PAGE) -> Iterator[tuple[bytes, list[Effect]]]:
    """Every document key with all its effects, in the order of the keys."""
    for key, group in groupby(_effects(conn, page), key=lambda effect: effect.key):
        yield key, list(group)


def _effects(conn: Conn, page: int) -> Iterator[Effect]:
    after: dict[str, Any] = {"key": _BEFORE_ALL, "seq": 0, "ordinal": 0}
    while read := _EFFECTS.run(conn, {**after, "limit": page}):
        yield from read
        after = {"key": read[-1].key, "seq": read[-1].seq, "ordinal": read[-1].ordinal}
