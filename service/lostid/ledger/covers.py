"""The effects of entries on document keys: append-only, folded into records by the same pure function everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lostid.domain.covers import Action, Cover, CoverKind, Effect
from lostid.domain.record import Record, fold
from lostid.ledger.statement import AsyncConn, Conn, Rows, Statement

COLUMNS: Final = """
    c.doc_key, c.seq, c.ordinal, c.action, c.report_id,
    c.kind, c.watermark, c.serial_tag, c.final, c.open_ended, c.reason, c.effective_ms
"""

# No row: this server does not have (seq, hash). One row of nulls: it has, and holds nothing on these keys.
# One statement, one snapshot: the effects are those of a ledger that contains the entry. None from beyond its head:
# what stands there was written by hand.
CONFIRM = Statement(
    f"""
    SELECT {COLUMNS}
      FROM (SELECT h.seq FROM entries e, head h WHERE e.seq = %(seq)s AND e.hash = %(hash)s) proof
      LEFT JOIN effects c ON c.doc_key = ANY (%(keys)s) AND c.seq <= proof.seq
    """,
    lambda rows: _grouped(rows) if rows else None,
)

EFFECTS_OF = Statement(
    f"SELECT {COLUMNS} FROM effects c WHERE c.doc_key = ANY (%(keys)s) AND c.seq <= coalesce(%(upto)s::bigint, c.seq)",
    lambda rows: _grouped(rows),
)

# Of one document, with the times of their entries: for what was known when.
DATED = Statement(
    f"SELECT e.recorded_ms, {COLUMNS} FROM effects c JOIN entries e ON e.seq = c.seq WHERE c.doc_key = %(key)s",
    lambda rows: [(int(row[0]), effect(row[1:])) for row in rows],
)

Effects = dict[bytes, list[Effect]]


def effect(row: tuple[object, ...]) -> Effect:
    """One row of `covers`."""
    key, seq, ordinal, action, report_id, kind, watermark, tag, final, open_ended, reason, effective_ms = row
    cover = None
    if kind is not None:
        cover = Cover(CoverKind(kind), watermark, tag, final, open_ended, reason, effective_ms)  # type: ignore[arg-type]
    return Effect(key, seq, ordinal, Action(action), report_id, cover)  # type: ignore[arg-type]


def _grouped(rows: Rows) -> Effects:
    effects: Effects = {}
    for row in rows:
        if row[0] is not None:
            effects.setdefault(row[0], []).append(effect(row))
    return effects


async def effects_of(conn: AsyncConn, keys: Sequence[bytes], upto_seq: int | None = None) -> Effects:
    """Keys that no entry touched are absent."""
    return await EFFECTS_OF.arun(conn, {"keys": list(keys), "upto": upto_seq})


async def dated(conn: AsyncConn, key: bytes) -> list[tuple[int, Effect]]:
    """(when its entry was recorded, the effect), in no order."""
    return await DATED.arun(conn, {"key": key})


def effects_upto(conn: Conn, keys: Sequence[bytes], seq: int) -> Effects:
    """What these keys' records were made of as of entry `seq`: the same for the shells."""
    return EFFECTS_OF.run(conn, {"keys": list(keys), "upto": seq})


async def confirm(conn: AsyncConn, keys: Sequence[bytes], seq: int, hash_: bytes) -> dict[bytes, Record] | None:
    """The record of every key asked for (empty where there is none), from a ledger that contains (seq, hash). None: it
    does not."""
    effects = await CONFIRM.arun(conn, {"keys": list(keys), "seq": seq, "hash": hash_})
    if effects is None:
        return None
    return {key: fold(effects.get(key, ())) for key in keys}
