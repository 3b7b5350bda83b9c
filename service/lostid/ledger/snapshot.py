"""The whole ledger as of one entry, for those who build a copy of it (filter: `doc_keys`, registry: `outline`).

    with snapshot(conn) as head:
        for lines in outline.batches(conn): ...

Everything read inside is the fold of the entries up to `head`, whatever is appended meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from lostid.ledger import entries
from lostid.ledger.entries import Head
from lostid.ledger.errors import translated
from lostid.ledger.statement import Conn, Statement, nothing

KEY_BYTES: Final = 16

# A copy may take minutes; its pages are short statements with idle time between them.
_HOLD = Statement(
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL idle_in_transaction_session_timeout = 0",
    nothing,
)
_NO_HURRY = Statement("SET LOCAL statement_timeout = 0", nothing)
_COUNT_KEYS = Statement(
    """
    SELECT (SELECT count(DISTINCT doc_key) FROM covers)
           + (SELECT coalesce(sum(staged), 0)::bigint FROM imports WHERE release_seq IS NOT NULL)
    """,
    lambda rows: int(rows[0][0]),
)


@contextmanager
def snapshot(conn: Conn) -> Iterator[Head]:
    with translated(writing=False), conn.transaction():
        _HOLD.run(conn)
        yield entries.head(conn)


def count_keys(conn: Conn) -> int:
    """How many documents entries touched, rather too many than too few. Reads the whole index, and takes its time."""
    with translated(writing=False), conn.transaction():
        _NO_HURRY.run(conn)
        return _COUNT_KEYS.run(conn)
