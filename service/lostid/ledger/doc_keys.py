"""Every document key that an entry touched or that an import waits with, in one snapshot: what a filter is made of.

Read in the order of the table, block after block, which is some forty times faster than in the order of its keys. A key
comes once for each of its effects.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from lostid.domain import staged
from lostid.domain.position import Position
from lostid.ledger import import_reading
from lostid.ledger.snapshot import snapshot as whole_ledger
from lostid.ledger.statement import Conn, Statement

_BLOCKS: Final = 1024  # of 8 KiB: some 65,000 effects, a megabyte of keys
_EFFECTS_A_BLOCK: Final = 64

HAS = Statement(
    "SELECT EXISTS (SELECT FROM entries WHERE seq = %(seq)s AND hash = %(hash)s)",
    lambda rows: bool(rows[0][0]),
)

# The index grows with the documents and is there from the start; what ANALYZE found may be missing or old.
_DOCUMENTS = Statement(
    """
    SELECT greatest(reltuples, 0)::bigint, pg_relation_size('sealed_tokens_pkey') / 50
      FROM pg_class WHERE oid = 'sealed_tokens'::regclass
    """,
    lambda rows: int(max(rows[0])),
)

_SIZE = Statement(
    "SELECT pg_relation_size('covers') / current_setting('block_size')::integer", lambda rows: int(rows[0][0])
)

_CHUNK = Statement(
    """
    SELECT coalesce(string_agg(doc_key, ''::bytea), ''::bytea) FROM covers
     WHERE ctid >= format('(%%s,0)', %(first)s::bigint)::tid AND ctid < format('(%%s,0)', %(end)s::bigint)::tid
    """,
    lambda rows: bytes(rows[0][0]),
)
_LAST_BLOCK: Final = 2**32 - 2


def has(conn: Conn, position: Position) -> bool:
    """Is this position on the chain of the server that answers?"""
    return HAS.run(conn, {"seq": position.seq, "hash": position.hash})


def documents(conn: Conn) -> int:
    """About how many documents the ledger knows. Never exact, often short by a little, never slow."""
    return _DOCUMENTS.run(conn) + import_reading.ROWS.run(conn)


@contextmanager
def snapshot(conn: Conn) -> Iterator[Position]:
    """What is read inside is the ledger at this position: nothing later, and nothing before it is missing."""
    with whole_ledger(conn) as head:
        yield Position(head.seq, head.hash)


def chunks(conn: Conn) -> Iterator[tuple[float, bytes]]:
    """Inside a snapshot: (share done with this chunk, keys end to end)."""
    blocks, rows = max(_SIZE.run(conn), 1), import_reading.ROWS.run(conn)
    of_entries = blocks * _EFFECTS_A_BLOCK / (blocks * _EFFECTS_A_BLOCK + rows)
    for first in range(0, blocks, _BLOCKS):
        end = first + _BLOCKS
        last = end >= blocks
        keys = _CHUNK.run(conn, {"first": first, "end": _LAST_BLOCK if last else end})
        yield min(1.0, end / blocks) * of_entries, keys
    done = 0
    for part in import_reading.all_parts(conn):
        done += len(part) // staged.ROW_BYTES
        yield of_entries + (1 - of_entries) * min(1.0, done / max(rows, 1)), staged.joined_keys(part)
