"""Every effect in the ledger as a few bytes, in the order of the document keys: what the registry is filled from.

    line    key 16 | seq 8 | ordinal 8 | what
    what    action 2 | kind 2 (0: no cover) | final 1 | watermark 4 (-1: none) | serial tag 8, where there is one

All big-endian, so that the order of the bytes is that of keys, entries and places within an entry. Reasons and times
are left out: no packed record holds them.

PostgreSQL sorts the lines. The primary key knows the same order, but each row that it names lies somewhere else in the
table: reading all and sorting took a fifth of the time with 10 million effects.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Final

from lostid.domain.covers import Action, Cover, CoverKind
from lostid.ledger.errors import translated
from lostid.ledger.statement import Conn, Statement, nothing

KEY: Final = slice(0, 16)
SEQ: Final = slice(16, 24)
WHAT: Final = slice(32, None)
WHAT_BYTES: Final = 9
"""Without a serial tag."""
_AT_ONCE: Final = 2_000
"""As many as one step of a fill: the next are fetched and packed while the registry takes these. By ten times as many
the two waited for each other, and a refill took 1.4 times as long."""
_PLAIN: Final = Struct(">16sQ8x9s")
_WHAT: Final = Struct(">hh?i")

_LINE: Final = """
    doc_key || int8send(seq) || int8send(ordinal)
    || int2send(action) || int2send(coalesce(kind, 0::smallint)) || boolsend(coalesce(final, false))
    || int4send(coalesce(watermark, -1)) || coalesce(serial_tag, ''::bytea) AS line
"""
# Outside the subquery's fence the planner would take the order from the index. Sorting is what takes the time here.
_LINES = Statement(
    f"""
    DECLARE outline NO SCROLL CURSOR FOR
     SELECT line FROM (SELECT {_LINE} FROM effects OFFSET 0) lines ORDER BY line
    """,
    nothing,
)
# A range of keys as of an entry; no row where this server does not have the entry.
_BETWEEN = Statement(
    f"""
    SELECT line
      FROM (SELECT FROM entries WHERE seq = %(seq)s AND hash = %(hash)s) proof
      LEFT JOIN (SELECT doc_key, seq, {_LINE} FROM effects) c
             ON c.doc_key BETWEEN %(first)s AND %(last)s AND c.seq <= %(seq)s
     ORDER BY line
    """,
    lambda rows: [line for (line,) in rows if line is not None] if rows else None,
)
_ROOM = Statement("SET LOCAL statement_timeout = 0; SET LOCAL work_mem = '64MB'", nothing)
_FETCH: Final = "FETCH FORWARD {:d} FROM outline"


def batches(conn: Conn, at_once: int = _AT_ONCE) -> Iterator[list[bytes]]:
    """Inside a snapshot, once: all lines, some at a time, those of one document key never in two batches.

    When this returns the sorting is done, which is the part that takes long.
    """
    _ROOM.run(conn)
    _LINES.run(conn)
    return _whole_keys(conn, _fetch(conn, at_once), at_once)


def between(conn: Conn, first: bytes, last: bytes, seq: int, hash_: bytes) -> list[bytes] | None:
    """All lines of the keys from ``first`` to ``last``, from a ledger that contains (seq, hash). None: it does not."""
    return _BETWEEN.run(conn, {"first": first, "last": last, "seq": seq, "hash": hash_})


def told(lines: Sequence[bytes]) -> Iterator[tuple[bytes, int, bytes]]:
    """Key, seq and what each line says."""
    if {len(line) for line in lines} == {_PLAIN.size}:
        return _PLAIN.iter_unpack(b"".join(lines))
    return ((line[KEY], int.from_bytes(line[SEQ]), line[WHAT]) for line in lines)


def cover_of(what: bytes) -> Cover | None:
    """The cover that a line adds, as far as a packed record keeps it. None: the line does something else."""
    action, kind, final, watermark = _WHAT.unpack_from(what)
    if action != Action.ADD or not kind:
        return None
    tag = what[WHAT_BYTES:] or None
    return Cover(CoverKind(kind), None if watermark < 0 else watermark, tag, final, False, "", 0)


def _whole_keys(conn: Conn, lines: list[bytes], at_once: int) -> Iterator[list[bytes]]:
    held: list[bytes] = []  # the lines of the last key so far; the next batch may have more of them
    while lines:
        lines = held + lines
        last = lines[-1][KEY]
        end = len(lines)
        while end and lines[end - 1][KEY] == last:
            end -= 1
        held = lines[end:]
        if end:
            yield lines[:end]
        lines = _fetch(conn, at_once)
    if held:
        yield held


def _fetch(conn: Conn, at_once: int) -> list[bytes]:
    with translated(writing=False), conn.cursor(binary=True) as cursor:
        cursor.execute(_FETCH.format(at_once))
        return [line for (line,) in cursor.fetchall()]
