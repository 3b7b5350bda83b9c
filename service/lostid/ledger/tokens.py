"""Sealed tokens, in one snapshot or by entry: what mirrors are made of. Where documents go, here go `PAIR` bytes each:
document key, nonce, token and tag, end to end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from lostid.domain.covers import Action
from lostid.domain.record import NOTHING, fold
from lostid.ledger import covers
from lostid.ledger.statement import AsyncConn, Conn, Statement

KEY_BYTES: Final = 16
PAIR: Final = KEY_BYTES + 12 + 16 + 16

_BLOCKS: Final = 1024  # of 8 KiB
_KEYS_AT_ONCE: Final = 5_000
_BEFORE_ALL: Final = b""

_SIZE = Statement(
    "SELECT pg_relation_size('sealed_tokens') / current_setting('block_size')::integer", lambda rows: int(rows[0][0])
)
_CHUNK = Statement(
    """
    SELECT coalesce(string_agg(doc_key || sealed, ''::bytea), ''::bytea) FROM sealed_tokens
     WHERE ctid >= format('(%%s,0)', %(first)s::bigint)::tid AND ctid < format('(%%s,0)', %(end)s::bigint)::tid
    """,
    lambda rows: bytes(rows[0][0]),
)
_LAST_BLOCK: Final = 2**32 - 2

COUNT = Statement(
    """
    SELECT (SELECT count(*) FROM sealed_tokens)
           + (SELECT coalesce(sum(staged), 0)::bigint FROM imports WHERE release_seq IS NOT NULL)
    """,
    lambda rows: int(rows[0][0]),
)

# Which entry puts which import in force: its release, and each rewind that puts it back.
_COMES: Final = f"""
    (SELECT number, staged, release_seq AS seq FROM imports
      UNION ALL
     SELECT i.number, i.staged, t.seq FROM import_turns t JOIN imports i ON i.number = t.import
      WHERE t.action = {Action.QUARANTINE.value})
"""

# Those of imports in force. Of one that was withdrawn nothing is in force, and what others reported is in the table.
_PART = Statement(
    f"""
    SELECT p.import, p.part, p.sealed FROM import_parts p JOIN imports i ON i.number = p.import
     WHERE i.release_seq IS NOT NULL
       AND {Action.WITHDRAW.value} IS DISTINCT FROM
           (SELECT action FROM import_turns t WHERE t.import = i.number ORDER BY t.seq DESC LIMIT 1)
       AND (p.import, p.part) > (%(number)s, %(part)s)
     ORDER BY p.import, p.part LIMIT 1
    """,
    lambda rows: rows[0] if rows else None,
)

RELEASED_BETWEEN = Statement(
    f"""
    SELECT EXISTS (SELECT FROM {_COMES} i WHERE i.seq > %(after)s AND i.seq <= %(upto)s AND i.staged > %(most)s)
    """,
    lambda rows: bool(rows[0][0]),
)
MOST_STAGED: Final = 20_000
"""Rows of an import that can be told to a mirror with its entry. After a larger one it takes a new snapshot."""

# A document whose token is missing would be clear in every mirror, in silence.
WITHOUT_TOKEN = Statement(
    """
    SELECT EXISTS (SELECT FROM covers c LEFT JOIN sealed_tokens t USING (doc_key)
                    WHERE t.doc_key IS NULL AND c.doc_key <> ALL (%(known)s::bytea[]))
    """,
    lambda rows: bool(rows[0][0]),
)

_TAKEN_BACK = Statement(
    f"""
    SELECT DISTINCT doc_key FROM covers WHERE action = {Action.WITHDRAW.value} AND doc_key > %(after)s
     ORDER BY doc_key LIMIT %(limit)s
    """,
    lambda rows: [bytes(row[0]) for row in rows],
)

_AFTER = Statement(
    f"""
    SELECT e.seq, e.prev, e.hash,
           coalesce((SELECT string_agg(k.doc_key || coalesce(t.sealed, %(missing)s::bytea), ''::bytea)
                       FROM (SELECT DISTINCT decode(x.key, 'hex') AS doc_key
                               FROM jsonb_to_recordset(convert_from(e.body, 'UTF8')::jsonb -> 'effects') AS x (key text)
                            ) k LEFT JOIN sealed_tokens t USING (doc_key)), ''::bytea)
           || coalesce((SELECT string_agg(p.sealed, ''::bytea ORDER BY p.part)
                          FROM {_COMES} i JOIN import_parts p ON p.import = i.number
                         WHERE i.seq = e.seq AND i.staged <= %(most)s), ''::bytea),
           EXISTS (SELECT FROM {_COMES} i WHERE i.seq = e.seq AND i.staged > %(most)s)
      FROM entries e
     WHERE e.seq > %(after)s AND e.seq <= %(upto)s ORDER BY e.seq LIMIT %(limit)s
    """,
    lambda rows: [SealedEntry(row[0], bytes(row[1]), bytes(row[2]), bytes(row[3]), row[4]) for row in rows],
)


@dataclass(frozen=True, slots=True)
class SealedEntry:
    """An entry's place on the chain, and the pairs of all documents that it touches.

    A token that is not there reads as zeros, which no key opens.
    """

    seq: int
    prev: bytes
    hash: bytes
    pairs: bytes
    too_much: bool = False
    """It put an import in force of more than `MOST_STAGED` rows, which are not here."""


def chunks(conn: Conn) -> Iterator[bytes]:
    """Inside a snapshot: the pairs of all documents that any entry ever touched, in the order of the table."""
    blocks = _SIZE.run(conn)
    for first in range(0, max(blocks, 1), _BLOCKS):
        end = first + _BLOCKS
        yield _CHUNK.run(conn, {"first": first, "end": _LAST_BLOCK if end >= blocks else end})
    number, part = 0, -1
    while (found := _PART.run(conn, {"number": number, "part": part})) is not None:
        number, part, sealed = found
        yield sealed


def without_record(conn: Conn) -> set[bytes]:
    """Inside a snapshot: the documents of which nothing is in force any more."""
    found: set[bytes] = set()
    after = _BEFORE_ALL
    while keys := _TAKEN_BACK.run(conn, {"after": after, "limit": _KEYS_AT_ONCE}):
        effects = covers.EFFECTS_OF.run(conn, {"keys": keys, "upto": None})
        found.update(key for key in keys if fold(effects[key]) == NOTHING)
        after = keys[-1]
    return found


async def after(conn: AsyncConn, seq: int, upto: int, limit: int) -> Sequence[SealedEntry]:
    """The entries after `seq`, not beyond `upto`. Whether they continue the caller's chain is for the caller to see."""
    missing = bytes(PAIR - KEY_BYTES)
    return await _AFTER.arun(
        conn, {"after": seq, "upto": upto, "limit": limit, "missing": missing, "most": MOST_STAGED}
    )
