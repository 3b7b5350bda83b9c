"""What a rewind does to imports: those that the operator took back are in force again, those that the operator brought
in or released are marked for review.

What must hold:

- An import that was taken back comes back as it went, by one entry of its own (`import.restored`) that names the same
  rows by the same digest. Its entries and the rewind's are one commit, and the rewind's is the last of them: the fence
  that waits for it has waited for all.
- Only the last thing that happened to an import counts. Where somebody else has taken it back again since, it stays as
  that person left it; where an earlier rewind has put it back already, nothing happens twice.
- What two supervisors put in force takes two to take back, and whoever asked before has to ask anew.
- Nobody waits in a circle. Whoever acts on an import holds its row and waits for the ledger's head; a rewind holds the
  head. So it changes only rows of imports that are withdrawn, about which nobody waits, and marks in a table apart.
- No row of an import is read: hosts have their bits since the release, and the registry is brought over part by part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from lostid.domain.covers import Action
from lostid.ledger import entries
from lostid.ledger.entries import Appended, Draft
from lostid.ledger.statement import AsyncConn, Statement, nothing


class TakenBack(NamedTuple):
    """An import as its operator's withdrawal left it."""

    number: int
    id: str
    accepted: int
    staged: int
    digest: bytes

    def facts(self) -> dict[str, Any]:
        return {"rows": self.accepted, "number": self.number, "staged": self.staged, "digest": self.digest.hex()}


# Asked for or agreed to, as with reports.
TAKEN_BACK = Statement(
    f"""
    SELECT i.number, i.id, i.accepted, i.staged, i.digest
      FROM imports i
     CROSS JOIN LATERAL (SELECT seq, action FROM import_turns WHERE import = i.number ORDER BY seq DESC LIMIT 1) last
      JOIN entries e ON e.seq = last.seq
     WHERE i.env = %(env)s AND i.org = %(org)s AND last.action = {Action.WITHDRAW.value} AND i.state = 'withdrawn'
       AND e.recorded_ms >= %(since)s
       AND %(operator)s IN (i.withdrawn_by ->> 'operator', i.asked_by ->> 'operator')
     ORDER BY e.seq
    """,
    lambda rows: [TakenBack(*row) for row in rows],
)

_DOUBTED: Final = """
      FROM imports
     WHERE env = %(env)s AND org = %(org)s AND NOT dry_run
       AND ((operator = %(operator)s AND created_ms >= %(since)s)
            OR (released_by ->> 'operator' = %(operator)s AND release_ms >= %(since)s))
"""
DOUBTED = Statement(
    f"SELECT id {_DOUBTED} ORDER BY created_ms, id LIMIT %(limit)s", lambda rows: [str(row[0]) for row in rows]
)
MARK = Statement(f"INSERT INTO import_reviews (import, seq) SELECT number, %(seq)s {_DOUBTED}", nothing, writes=True)

_RESTORE = Statement(
    f"""
    WITH turned AS (
        INSERT INTO import_turns (import, seq, action) VALUES (%(number)s, %(seq)s, {Action.QUARANTINE.value})
    )
    UPDATE imports SET state = 'released', asked_by = NULL, withdrawn_by = NULL WHERE number = %(number)s
    """,
    nothing,
    writes=True,
)


async def restore(conn: AsyncConn, found: Sequence[TakenBack], facts: Mapping[str, Any]) -> None:
    """An entry for each of them, with these facts. The caller holds the head, and appends the rewind's own after it."""
    for one in found:
        appended: Appended = await entries.append(conn, Draft(entries.RESTORED, one.id, {**facts, **one.facts()}))
        await _RESTORE.arun(conn, {"number": one.number, "seq": appended.seq})
