"""What is left of imports that were withdrawn before anybody released them. It was in force for nobody: it goes, a part
at a time, by whoever is at hand. What was in force once stays."""

from __future__ import annotations

from lostid.ledger.import_staging import take_out
from lostid.ledger.statement import AsyncConn, Statement, committing, nothing

_NEXT = Statement(
    """
    SELECT i.number, (SELECT min(part) FROM import_parts p WHERE p.import = i.number) FROM imports i
     WHERE i.state = 'withdrawn' AND i.release_seq IS NULL AND NOT i.cleared ORDER BY i.number LIMIT 1
    """,
    lambda rows: rows[0] if rows else None,
)
_CLEARED = Statement(
    """
    WITH gone AS (
        DELETE FROM import_staged WHERE import = %(number)s
    )
    UPDATE imports SET cleared = true WHERE number = %(number)s
    """,
    nothing,
    writes=True,
)


async def clear(conn: AsyncConn) -> bool:
    """One part. False: nothing is left to do."""
    found = await _NEXT.arun(conn)
    if found is None:
        return False
    number, part = found
    async with committing(conn):
        if part is None:
            await _CLEARED.arun(conn, {"number": number})
        else:
            await take_out(conn, number, part)
    return True
