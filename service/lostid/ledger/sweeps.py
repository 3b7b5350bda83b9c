"""Rows about the comparison of Redis with the ledger (docs/decisions/0014): its last clean round, and its alarms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lostid.ledger.statement import Statement, done, nothing

ONLY_ONE: Final = Statement("SELECT pg_try_advisory_lock(hashtextextended('lostid.sweep', 0))", lambda r: bool(r[0][0]))


@dataclass(frozen=True, slots=True)
class Kept:
    """What the whole registry came to at an entry of this ledger's chain, sealed."""

    seq: int
    hash: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Watch:
    """How the comparison stands. `age_s` is None where no round was ever clean."""

    alarms: int  # open
    raised: int  # ever
    records: int
    round_ms: int
    age_s: float | None


NOT_YET: Final = Watch(0, 0, 0, 0, None)

KEPT = Statement(
    "SELECT seq, hash, sealed FROM registry_sweep JOIN entries USING (seq, hash)",
    lambda rows: Kept(*rows[0]) if rows else None,
)
KEEP = Statement(
    """
    INSERT INTO registry_sweep (seq, hash, sealed, records, round_ms, swept_at)
    VALUES (%(seq)s, %(hash)s, %(sealed)s, %(records)s, %(round_ms)s, clock_timestamp())
        ON CONFLICT (single) DO UPDATE
       SET seq = excluded.seq, hash = excluded.hash, sealed = excluded.sealed, records = excluded.records,
           round_ms = excluded.round_ms, swept_at = excluded.swept_at
    """,
    nothing,
    writes=True,
)
RAISE = Statement(
    """
    INSERT INTO registry_alarms (place, what) VALUES (%(place)s, %(what)s)
        ON CONFLICT (place, what) WHERE cleared_at IS NULL DO NOTHING RETURNING number
    """,
    done,
    writes=True,
)
CLEAR = Statement(
    "UPDATE registry_alarms SET cleared_at = clock_timestamp() WHERE cleared_at IS NULL RETURNING number",
    done,
    writes=True,
)
WATCH = Statement(
    """
    SELECT (SELECT count(*) FROM registry_alarms WHERE cleared_at IS NULL),
           (SELECT count(*) FROM registry_alarms), coalesce(s.records, 0), coalesce(s.round_ms, 0),
           extract(epoch FROM clock_timestamp() - s.swept_at)::float8
      FROM (SELECT) one LEFT JOIN registry_sweep s ON true
    """,
    lambda rows: Watch(*rows[0]),
)
