"""Release and withdrawal of an import, chunk by chunk: each chunk is one entry with ordinary effects.

The cursor moves in the transaction of the chunk's entry, and only from where this chunk began: whoever dies, whoever
else is at it, every row is put in force once, and the next to come goes on where the last commit stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from lostid.domain.covers import Action, Effect
from lostid.domain.importing import RELEASING
from lostid.ledger import bodies, entries
from lostid.ledger.entries import Appended, Head
from lostid.ledger.import_staging import SEALED_BYTES
from lostid.ledger.imports import Import
from lostid.ledger.statement import AsyncConn, Rows, Statement, committing, done, nothing

CHUNK: Final = 500
"""Rows in an entry. A report waits behind one chunk at most, a host applies one in a few milliseconds."""
_KEY_BYTES: Final = 16
_FORGET_AT_ONCE: Final = 20_000


@dataclass(frozen=True, slots=True)
class Chunk:
    """The next rows of an import."""

    kind: str
    first_line: int
    last_line: int
    rows: int
    body: bytes
    sealed: tuple[Sequence[bytes], Sequence[bytes]]  # document keys, sealed tokens


_NEXT = Statement(
    """
    SELECT line, effects, sealed FROM import_rows
     WHERE import = %(number)s AND line > %(after)s AND line <= %(upto)s AND code IS NULL ORDER BY line LIMIT %(limit)s
    """,
    lambda rows: rows,
)
_MOVE_DONE = Statement(
    """
    UPDATE imports SET done_line = %(to)s, done = done + %(rows)s
     WHERE number = %(number)s AND state = 'releasing' AND done_line = %(from)s RETURNING 1
    """,
    done,
    writes=True,
)
_MOVE_BACK = Statement(
    """
    UPDATE imports SET back_line = %(to)s, back = back + %(rows)s
     WHERE number = %(number)s AND state = 'withdrawing' AND back_line = %(from)s RETURNING 1
    """,
    done,
    writes=True,
)
_END = Statement(
    """
    UPDATE imports SET state = CASE state WHEN 'releasing' THEN 'released' ELSE 'withdrawn' END
     WHERE number = %(number)s AND state = %(state)s RETURNING 1
    """,
    done,
    writes=True,
)
# What was never put in force is not kept; what was rejected, and why, is.
_FORGET = Statement(
    """
    DELETE FROM import_rows
     WHERE import = %(number)s
       AND line IN (SELECT line FROM import_rows
                     WHERE import = %(number)s AND line > %(after)s AND code IS NULL ORDER BY line LIMIT %(limit)s)
    RETURNING 1
    """,
    done,
    writes=True,
)
_LOCK = Statement(
    "SELECT pg_try_advisory_lock(hashtextextended('lostid.import.job.' || %(number)s::bigint, 0))",
    lambda rows: bool(rows[0][0]),
)
_UNLOCK = Statement(
    "SELECT pg_advisory_unlock(hashtextextended('lostid.import.job.' || %(number)s::bigint, 0))", nothing
)
_BY_NUMBER = Statement(
    "SELECT state, done_line, done, back_line, back FROM imports WHERE number = %(number)s", lambda rows: rows[0]
)


async def take(conn: AsyncConn, number: int) -> bool:
    """One worker at a time is enough; two would only be in each other's way."""
    return await _LOCK.arun(conn, {"number": number})


async def leave(conn: AsyncConn, number: int) -> None:
    await _UNLOCK.arun(conn, {"number": number})


async def step(conn: AsyncConn, job: Import) -> Appended | None:
    """The next chunk, committed: where its entry stands. None: no chunk is left, or somebody else has moved on."""
    state, done_line, already, back_line, back = await _BY_NUMBER.arun(conn, {"number": job.number})
    if state != job.state:
        return None
    releasing = state == RELEASING
    after = done_line if releasing else back_line
    upto = 1 << 62 if releasing else done_line
    rows = await _NEXT.arun(conn, {"number": job.number, "after": after, "upto": upto, "limit": CHUNK})
    if not rows:
        return None
    chunk = released(job, rows, already) if releasing else withdrawn(job, rows, back)
    move = _MOVE_DONE if releasing else _MOVE_BACK
    moved = {"number": job.number, "from": after, "to": chunk.last_line, "rows": chunk.rows}
    async with committing(conn):
        if not await move.arun(conn, moved):
            return None
        keys, sealed = chunk.sealed
        entry = {"kind": chunk.kind, "id": job.id, "body": chunk.body, "sealed_keys": keys, "sealed": sealed}
        return await entries.APPEND.arun(conn, entry)


async def head(conn: AsyncConn) -> Head:
    """It contains every chunk that was committed before."""
    return await entries.HEAD.arun(conn)


async def end(conn: AsyncConn, job: Import) -> bool:
    """No chunk is left and all are in force (or gone) on every host: say so. False: somebody was faster."""
    if job.state != RELEASING:
        (_, done_line, *_) = await _BY_NUMBER.arun(conn, {"number": job.number})
        while await _FORGET.arun(conn, {"number": job.number, "after": done_line, "limit": _FORGET_AT_ONCE}):
            pass
    return await _END.arun(conn, {"number": job.number, "state": job.state})


def released(job: Import, rows: Rows, before: int) -> Chunk:
    keys: list[bytes] = []
    tokens: list[bytes] = []
    for _, _, sealed in rows:
        for at in range(0, len(sealed), SEALED_BYTES):
            keys.append(sealed[at : at + _KEY_BYTES])
            tokens.append(sealed[at + _KEY_BYTES : at + SEALED_BYTES])
    return _chunk("import.released", job, rows, before, [effects for _, effects, _ in rows], (keys, tokens))


def withdrawn(job: Import, rows: Rows, before: int) -> Chunk:
    """Takes out what this import put on these documents, and nothing else: effects name it as their report."""
    keys = dict.fromkeys(
        sealed[at : at + _KEY_BYTES] for _, _, sealed in rows for at in range(0, len(sealed), SEALED_BYTES)
    )
    effects = [Effect(key, 0, 0, Action.WITHDRAW, job.id, None) for key in keys]
    return _chunk("import.withdrawn", job, rows, before, [bodies.written(effects)], ((), ()))


def _chunk(
    kind: str, job: Import, rows: Rows, before: int, effects: list[str], sealed: tuple[Sequence[bytes], Sequence[bytes]]
) -> Chunk:
    first, last = int(rows[0][0]), int(rows[-1][0])
    facts: dict[str, Any] = {
        "env": job.env,
        "org": job.org,
        "first_line": first,
        "last_line": last,
        "rows": len(rows),
        "before": before,
        "of": job.accepted,
    }
    keys, tokens = sealed
    body = bodies.assembled(kind, job.id, facts, effects)
    return Chunk(kind, first, last, len(rows), body, (list(keys), list(tokens)))
