"""Search and history: rationed per operator and day, and journalled before they are answered."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final

from lostid.ledger.lines import Line
from lostid.ledger.statement import AsyncConn, Statement, done

DAILY_DOCUMENTS: Final = 200

_SPENT: Final = "ARRAY(SELECT DISTINCT k FROM unnest(spent.keys || excluded.keys) AS k)"

# The operator's row is locked by its update, so the count is exact however many ask at once.
TAKE = Statement(
    f"""
    WITH line AS (
        SELECT * FROM unnest(%(at_ms)s::bigint[], %(id)s::text[], %(item)s::int[], %(doc_key)s::bytea[],
                             %(purpose)s::text[], %(reference)s::text[], %(status)s::text[], %(seq)s::bigint[])
                   AS l (at_ms, id, item, doc_key, purpose, reference, status, seq)
    ), fresh AS (
        SELECT array_agg(DISTINCT doc_key) AS keys FROM line WHERE doc_key IS NOT NULL HAVING count(*) > 0
    ), allowed AS (
        INSERT INTO lookups AS spent (env, org, operator, day, keys)
        SELECT %(env)s, %(org)s, %(operator)s, %(day)s, keys FROM fresh WHERE cardinality(keys) <= %(limit)s
            ON CONFLICT (env, org, operator, day) DO UPDATE SET keys = {_SPENT}
         WHERE cardinality({_SPENT}) <= %(limit)s
        RETURNING 1
    ), written AS (
        INSERT INTO journal (at, item, seq, doc_key, id, key_id, org, operator, purpose, status, reference)
        SELECT to_timestamp(l.at_ms / 1000.0), l.item, l.seq, l.doc_key, l.id, %(key_id)s, %(org)s, %(operator)s,
               l.purpose, l.status, l.reference
          FROM line l WHERE EXISTS (SELECT FROM allowed) OR NOT EXISTS (SELECT FROM fresh)
    )
    SELECT 1 WHERE EXISTS (SELECT FROM allowed) OR NOT EXISTS (SELECT FROM fresh)
    """,
    done,
    writes=True,
)


async def take(conn: AsyncConn, env: str, day: date, lines: Sequence[Line], limit: int = DAILY_DOCUMENTS) -> bool:
    """Count the documents of these lines against the operator's day and journal them: both, or (False) neither.

    The same document twice on a day counts once, a line without a document key for nothing. All lines are of one API
    key and operator.
    """
    first = lines[0]
    return await TAKE.arun(
        conn,
        {
            "env": env,
            "org": first.org,
            "operator": first.operator,
            "key_id": first.key_id,
            "day": day,
            "limit": limit,
            "at_ms": [line.at_ms for line in lines],
            "id": [line.id for line in lines],
            "item": [line.item for line in lines],
            "doc_key": [line.doc_key for line in lines],
            "purpose": [line.purpose for line in lines],
            "reference": [line.reference for line in lines],
            "status": [line.status for line in lines],
            "seq": [line.seq for line in lines],
        },
    )
