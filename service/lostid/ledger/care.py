"""What a ledger needs from time to time: the journal's partitions, and the end of what is kept only for a while.

Any number of workers may do this at the same time.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from lostid.ledger.errors import LedgerDown
from lostid.ledger.statement import AsyncConn, Statement, nothing

DAYS_AHEAD: Final = 3
WRITES_DAYS: Final = 40  # the contract promises 30

AHEAD = Statement("SELECT journal_ahead(%(days)s)", lambda rows: int(rows[0][0]), writes=True)

DROP = Statement(
    "SELECT journal_drop((now() AT TIME ZONE 'UTC')::date - %(keep_days)s::int)",
    lambda rows: int(rows[0][0]),
    writes=True,
)

# Forgetting an idempotency key lets its request be sent anew; its entry stays. A bite at a time: the next call goes on.
FORGET = Statement(
    """
    WITH old AS (
        DELETE FROM writes WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM writes WHERE created_at < now() - make_interval(days => %(writes_days)s) LIMIT 10000))
    )
    DELETE FROM lookups WHERE day < now() - interval '7 days'
    """,
    nothing,
    writes=True,
)

# The Bloom filters over the journal's newest pages, once these are full and another range has been begun behind them:
# nobody writes there any more. PostgreSQL would do it by itself, for all of a minute at once. Where somebody else is at
# it, or vacuums, it is left to the next call: the journal's lines would wait for that lock.
SUMMARISE = Statement(
    """
    SELECT sum(brin_summarize_range(indexrelid::regclass, place * 64))
      FROM pg_index JOIN pg_class c ON c.oid = indexrelid JOIN pg_am a ON a.oid = relam AND amname = 'brin',
           LATERAL (SELECT pg_relation_size(indrelid) / current_setting('block_size')::int / 64 AS filled) size,
           LATERAL generate_series(greatest(filled - 6, 0), filled - 2) place
     WHERE indrelid = to_regclass('journal_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD'))
       AND NOT EXISTS (SELECT FROM pg_locks WHERE relation = indrelid AND mode = 'ShareUpdateExclusiveLock')
    """,
    lambda rows: int(rows[0][0] or 0),
    writes=True,
)
RANGE_LINES: Final = 3_200


async def care(conn: AsyncConn, keep_days: int) -> None:
    """Partitions for the coming days come first: without them nothing can be journalled."""
    await AHEAD.arun(conn, {"days": DAYS_AHEAD})
    # A long look-back holds its partitions, and somebody else may be at it: then it is done an hour later.
    with suppress(LedgerDown):
        await DROP.arun(conn, {"keep_days": keep_days})
        await FORGET.arun(conn, {"writes_days": WRITES_DAYS})
