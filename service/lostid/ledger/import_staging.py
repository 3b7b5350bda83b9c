"""Staging: the rows of an import go into the ledger's database, by document key, and are in force for nobody yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from lostid.ledger.errors import translated
from lostid.ledger.statement import AsyncConn, Statement, committing, done, nothing

SEALED_BYTES: Final = 16 + 12 + 16 + 16  # a document key; nonce, token and tag of its sealed token
LINE_DIFFERS: Final = "line_differs"


class Row(NamedTuple):
    """A line as it is kept: effects, or the code of its rejection."""

    line: int
    print: bytes
    code: str | None
    field: str | None
    effects: str | None
    sealed: bytes | None
    case_number: str | None


class Counts(NamedTuple):
    """Of one sending."""

    lines: int
    accepted: int
    rejected: int


_TEMPORARY = Statement(
    """
    CREATE TEMPORARY TABLE IF NOT EXISTS staged (
        line bigint, print bytea, code text, field text, effects text, sealed bytea, case_number text
    ) ON COMMIT DELETE ROWS
    """,
    nothing,
)
_COPY: Final = "COPY staged (line, print, code, field, effects, sealed, case_number) FROM STDIN"
# Also sees to it that nothing is staged into an import that was released or withdrawn meanwhile.
_PROGRESS = Statement(
    """
    UPDATE imports SET lines = %(lines)s, accepted = %(accepted)s, rejected = %(rejected)s
     WHERE number = %(number)s AND state = 'receiving' RETURNING 1
    """,
    done,
    writes=True,
)
# A line that came before is the same line, or nobody knows what it should be: then it counts as rejected.
_MERGE = Statement(
    """
    INSERT INTO import_rows AS known (import, line, print, code, field, effects, sealed, case_number)
    SELECT %(number)s, line, print, code, field, effects, sealed, case_number FROM staged
        ON CONFLICT (import, line) DO UPDATE
       SET code = 'line_differs', field = NULL, effects = NULL, sealed = NULL, case_number = NULL
     WHERE known.print <> excluded.print
    """,
    nothing,
    writes=True,
)
_LOCK = Statement(
    "SELECT pg_try_advisory_lock(hashtextextended('lostid.import.' || %(number)s::bigint, 0))",
    lambda rows: bool(rows[0][0]),
)
_BEGIN = Statement(
    """
    UPDATE imports SET state = 'receiving', lines = 0, accepted = 0, rejected = 0, received = NULL
     WHERE number = %(number)s AND state IN ('receiving', 'received', 'checked') RETURNING 1
    """,
    done,
    writes=True,
)
# Lines beyond the end of what was received whole stood in another file.
_CUT = Statement(
    """
    UPDATE import_rows SET code = 'line_differs', field = NULL, effects = NULL, sealed = NULL, case_number = NULL
     WHERE import = %(number)s AND line > %(last)s AND code IS DISTINCT FROM 'line_differs'
    """,
    nothing,
    writes=True,
)
_FINISH = Statement(
    """
    WITH counted AS (
        SELECT count(*) FILTER (WHERE code IS NULL) AS accepted, count(*) FILTER (WHERE code IS NOT NULL) AS rejected
          FROM import_rows WHERE import = %(number)s
    )
    UPDATE imports i
       SET received = %(received)s,
           accepted = CASE WHEN dry_run THEN %(accepted)s ELSE counted.accepted END,
           rejected = CASE WHEN dry_run THEN %(rejected)s ELSE counted.rejected END,
           lines = CASE WHEN dry_run THEN %(lines)s ELSE counted.accepted + counted.rejected END,
           state = CASE WHEN declared IS NOT NULL AND declared <> %(received)s THEN 'receiving'
                        WHEN dry_run THEN 'checked' ELSE 'received' END
      FROM counted
     WHERE i.number = %(number)s AND i.state = 'receiving' RETURNING i.state <> 'receiving'
    """,
    lambda rows: bool(rows[0][0]) if rows else None,
    writes=True,
)


# A dry run keeps what was rejected in its last sending, and nothing else.
_FORGET = Statement(
    """
    DELETE FROM import_rows r USING imports i WHERE i.number = %(number)s AND i.dry_run AND r.import = i.number
    """,
    nothing,
    writes=True,
)


async def begin(conn: AsyncConn, number: int) -> bool:
    """Make the connection the one that sends this import's rows. False: another does, or it is too late for rows."""
    if not await _LOCK.arun(conn, {"number": number}):
        return False
    await _TEMPORARY.arun(conn)
    await _FORGET.arun(conn, {"number": number})
    return await _BEGIN.arun(conn, {"number": number})


async def stage(conn: AsyncConn, number: int, rows: Sequence[Row], counts: Counts) -> bool:
    """These rows, each once however often it comes. False: it is too late for rows."""
    async with committing(conn):
        if not await _PROGRESS.arun(conn, {"number": number, **counts._asdict()}):
            return False
        if rows:
            with translated(writing=True):
                async with conn.cursor() as cursor, cursor.copy(_COPY) as copy:
                    await copy.write(copied(rows))
            await _MERGE.arun(conn, {"number": number})
    return True


async def finish(conn: AsyncConn, number: int, last_line: int, counts: Counts, received: bytes) -> bool | None:
    """All was received. False: its hash is not the one that was declared. None: too late for rows."""
    async with committing(conn):
        await _CUT.arun(conn, {"number": number, "last": last_line})
        return await _FINISH.arun(conn, {"number": number, "received": received, **counts._asdict()})


def copied(rows: Iterable[Row]) -> bytes:
    """In COPY's text format. No field holds a tab, a newline or a backslash: all are made here or of a known form."""
    return "".join(
        f"{line}\t\\\\x{print_.hex()}\t{_text(code)}\t{_text(field)}\t{_text(effects)}\t"
        f"{_NULL if sealed is None else _BYTES + sealed.hex()}\t{_text(case_number)}\n"
        for line, print_, code, field, effects, sealed, case_number in rows
    ).encode()


_NULL: Final = "\\N"
_BYTES: Final = "\\\\x"


def _text(value: str | None) -> str:
    return _NULL if value is None else value
