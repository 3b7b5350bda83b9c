"""Staging: the rows of an import go into the ledger's database, by document key, and are in force for nobody yet.

Some parts of the file in one transaction, then the next: whoever is killed, and whatever is sent again, a part is there
once or not at all. Many in one, because their rows go into the index in the order of their keys: the more of them at
once, the fewer pages each of them touches (docs/performance.md, Import).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from lostid.domain import staged
from lostid.domain.staged import PART_LINES
from lostid.ledger import entries
from lostid.ledger.errors import translated
from lostid.ledger.import_parts import COPY, LINE_DIFFERS, Part, Rejection, beyond, copied, cut
from lostid.ledger.statement import AsyncConn, Statement, committing, done, nothing


class Counts(NamedTuple):
    """Of one sending."""

    lines: int
    accepted: int
    rejected: int


class Change(NamedTuple):
    """A part as it is to be kept; None where nothing but its rejections is. `again`: it takes the place of one."""

    part: Part | None
    rejections: Sequence[Rejection]
    again: bool


_COPIED_AT_ONCE: Final = 1 << 18
_LOCK = Statement(
    "SELECT pg_try_advisory_lock(hashtextextended('lostid.import.' || %(number)s::bigint, 0))",
    lambda rows: bool(rows[0][0]),
)
_BEGIN = Statement(
    """
    UPDATE imports SET state = 'receiving', lines = 0, accepted = 0, rejected = 0, received = NULL, digest = NULL
     WHERE number = %(number)s AND state IN ('receiving', 'received', 'checked') RETURNING 1
    """,
    done,
    writes=True,
)
# A dry run keeps what was rejected in its last sending, and nothing else.
_FORGET = Statement(
    """
    DELETE FROM import_rejections r USING imports i WHERE i.number = %(number)s AND i.dry_run AND r.import = i.number
    """,
    nothing,
    writes=True,
)
_KNOWN = Statement(
    "SELECT part, lines FROM import_parts WHERE import = %(number)s ORDER BY part",
    lambda rows: {int(part): int(lines) for part, lines in rows},
)
_PART = Statement(
    """
    SELECT part, lines, accepted, prints, rows, sealed, cases FROM import_parts
     WHERE import = %(number)s AND part = %(part)s
    """,
    lambda rows: Part(*rows[0]),
)
_REJECTED = Statement(
    "SELECT count(*) FROM import_rejections WHERE import = %(number)s AND line BETWEEN %(first)s AND %(last)s",
    lambda rows: int(rows[0][0]),
)
# Also sees to it that nothing is staged into an import that was released or withdrawn meanwhile.
_PROGRESS = Statement(
    """
    UPDATE imports SET lines = %(lines)s, accepted = %(accepted)s, rejected = %(rejected)s
     WHERE number = %(number)s AND state = 'receiving' RETURNING 1
    """,
    done,
    writes=True,
)
_TAKE_OUT = Statement(
    """
    WITH known AS (
        SELECT rows FROM import_parts WHERE import = %(number)s AND part = %(part)s
    ), gone AS (
        DELETE FROM import_covers
         WHERE import = %(number)s AND ordinal >= %(first)s AND ordinal < %(end)s
           AND doc_key IN (SELECT substr(rows, at, 16) FROM known, generate_series(1, octet_length(rows), 48) AS at)
    )
    DELETE FROM import_parts WHERE import = %(number)s AND part = %(part)s
    """,
    nothing,
    writes=True,
)
_PUT = Statement(
    """
    INSERT INTO import_parts (import, part, lines, accepted, prints, rows, digest, sealed, cases)
    VALUES (%(number)s, %(part)s, %(lines)s, %(accepted)s, %(prints)s, %(rows)s, %(digest)s, %(sealed)s, %(cases)s)
    """,
    nothing,
    writes=True,
)
# A line that came before is the same line, or nobody knows what it should be: then it counts as rejected.
_REJECT = Statement(
    """
    INSERT INTO import_rejections (import, line, code, field)
    SELECT %(number)s, * FROM unnest(%(lines)s::bigint[], %(codes)s::text[], %(fields)s::text[])
        ON CONFLICT (import, line) DO UPDATE SET code = excluded.code, field = excluded.field
    """,
    nothing,
    writes=True,
)
_DIGESTS = Statement(
    "SELECT digest FROM import_parts WHERE import = %(number)s ORDER BY part", lambda rows: [row[0] for row in rows]
)
# Whoever sends them is woken as by an entry: hosts set the bits before anybody can release.
_FINISH = Statement(
    f"""
    WITH parts AS (
        SELECT coalesce(sum(accepted), 0) AS accepted, coalesce(sum(octet_length(rows)), 0) / 48 AS staged
          FROM import_parts WHERE import = %(number)s
    ), rejections AS (
        SELECT count(*) AS rejected FROM import_rejections WHERE import = %(number)s
    ), finished AS (
        UPDATE imports i
           SET received = %(received)s,
               digest = %(digest)s,
               staged = parts.staged,
               accepted = CASE WHEN dry_run THEN %(accepted)s ELSE parts.accepted END,
               rejected = rejections.rejected,
               lines = CASE WHEN dry_run THEN %(accepted)s ELSE parts.accepted END + rejections.rejected,
               state = CASE WHEN declared IS NOT NULL AND declared <> %(received)s THEN 'receiving'
                            WHEN dry_run THEN 'checked' ELSE 'received' END
          FROM parts, rejections
         WHERE i.number = %(number)s AND i.state = 'receiving' RETURNING i.state <> 'receiving' AS whole
    )
    SELECT whole, pg_notify('{entries.CHANNEL}', '') FROM finished
    """,
    lambda rows: bool(rows[0][0]) if rows else None,
    writes=True,
)


async def begin(conn: AsyncConn, number: int) -> bool:
    """Make the connection the one that sends this import's rows. False: another does, or it is too late for rows."""
    if not await _LOCK.arun(conn, {"number": number}):
        return False
    await _FORGET.arun(conn, {"number": number})
    return await _BEGIN.arun(conn, {"number": number})


async def known(conn: AsyncConn, number: int) -> Mapping[int, int]:
    """The parts that are here from an earlier sending, and how many lines each has."""
    return await _KNOWN.arun(conn, {"number": number})


async def part(conn: AsyncConn, number: int, part: int) -> tuple[Part, int]:
    """One of them, and how many of its lines were rejected."""
    found = await _PART.arun(conn, {"number": number, "part": part})
    first = part * PART_LINES + 1
    lines = {"number": number, "first": first, "last": first + PART_LINES - 1}
    return found, await _REJECTED.arun(conn, lines)


async def stage(conn: AsyncConn, number: int, changes: Sequence[Change], counts: Counts) -> bool:
    """Some parts, in one transaction, each once however often it comes. False: it is too late for rows."""
    rows = b"".join([change.part.rows for change in changes if change.part is not None])
    by_key = await asyncio.to_thread(copied, number, rows)
    async with committing(conn):
        if not await _PROGRESS.arun(conn, {"number": number, **counts._asdict()}):
            return False
        for change in changes:
            await _put(conn, number, change)
        await _copy(conn, by_key)
    return True


async def finish(conn: AsyncConn, number: int, last_line: int, counts: Counts, received: bytes) -> bool | None:
    """All was received. False: its hash is not the one that was declared. None: too late for rows."""
    async with committing(conn):
        for place, lines in (await known(conn, number)).items():
            if place * PART_LINES + lines > last_line:
                await _cut(conn, number, place, last_line)
        digest = staged.digest(await _DIGESTS.arun(conn, {"number": number}))
        facts = {"number": number, "received": received, "digest": digest, "accepted": counts.accepted}
        return await _FINISH.arun(conn, facts)


async def take_out(conn: AsyncConn, number: int, part: int) -> None:
    """A part and its rows. In the caller's transaction; only while its import is not released."""
    first = (part * PART_LINES + 1) * staged.EFFECTS_A_LINE
    end = first + PART_LINES * staged.EFFECTS_A_LINE
    await _TAKE_OUT.arun(conn, {"number": number, "part": part, "first": first, "end": end})


async def _cut(conn: AsyncConn, number: int, place: int, last_line: int) -> None:
    """Lines beyond the end of what was received whole stood in another file."""
    found = await _PART.arun(conn, {"number": number, "part": place})
    gone = beyond(found, last_line)
    kept = cut(found, set(gone))
    await _put(conn, number, Change(kept, [Rejection(line, LINE_DIFFERS, None) for line in gone], again=True))
    await _copy(conn, copied(number, kept.rows))


async def _put(conn: AsyncConn, number: int, change: Change) -> None:
    """All of a change but its rows by document key."""
    if change.rejections:
        lines, codes, fields = ([*column] for column in zip(*change.rejections, strict=True))
        await _REJECT.arun(conn, {"number": number, "lines": lines, "codes": codes, "fields": fields})
    part = change.part
    if part is None:
        return
    if change.again:
        await take_out(conn, number, part.part)
    await _PUT.arun(conn, {"number": number, "digest": part.digest, **part._asdict()})


async def _copy(conn: AsyncConn, by_key: bytes) -> None:
    with translated(writing=True):
        async with conn.cursor() as cursor, cursor.copy(COPY) as copy:
            for at in range(0, len(by_key), _COPIED_AT_ONCE):
                await copy.write(by_key[at : at + _COPIED_AT_ONCE])
