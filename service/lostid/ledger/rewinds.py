"""Rewind: what one operator did since T is put in doubt. Withdrawals fall back to in force, reports and imports are
marked.

The ledger only grows: a rewind is an entry whose QUARANTINE effects undo the withdrawals of reports, after one for each
import whose withdrawal it undoes (`rewound_imports`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from lostid.domain.covers import Action, Effect
from lostid.ledger import rewound_imports
from lostid.ledger.entries import Appended
from lostid.ledger.rewound_imports import TakenBack
from lostid.ledger.statement import AsyncConn, Statement, nothing

SHOWN: Final = 1000
"""So many reports, and imports, are listed in a preview; all are marked."""

# Asked for or agreed to: both hands were the operator's business.
WITHDRAWN = Statement(
    """
    SELECT w.report_id, w.doc_keys
      FROM withdrawals w JOIN reports r ON r.id = w.report_id AND r.withdrawn_seq = w.decided_seq
     WHERE w.env = %(env)s AND w.kind = 'withdrawal' AND w.state = 'approved' AND w.decided_ms >= %(since)s
       AND ((w.org = %(org)s AND w.operator = %(operator)s)
            OR (w.decided_org = %(org)s AND w.decided_operator = %(operator)s))
     ORDER BY w.decided_seq
    """,
    lambda rows: [(str(id_), list(keys)) for id_, keys in rows],
)

REPORTED = Statement(
    """
    SELECT id FROM reports
     WHERE env = %(env)s AND org = %(org)s AND operator = %(operator)s AND recorded_ms >= %(since)s
     ORDER BY recorded_ms, id LIMIT %(limit)s
    """,
    lambda rows: [str(row[0]) for row in rows],
)

MARK = Statement(
    """
    WITH restored AS (
        UPDATE reports SET withdrawn_seq = NULL WHERE id = ANY (%(restored)s)
    )
    UPDATE reports SET review_seq = %(seq)s
     WHERE env = %(env)s AND org = %(org)s AND operator = %(operator)s AND recorded_ms >= %(since)s
       AND NOT id = ANY (%(restored)s)
    """,
    nothing,
    writes=True,
)

# A row is changed once in a statement, so those that are both stand here.
MARK_RESTORED = Statement(
    """
    UPDATE reports SET review_seq = %(seq)s
     WHERE id = ANY (%(restored)s) AND env = %(env)s AND org = %(org)s AND operator = %(operator)s
       AND recorded_ms >= %(since)s
    """,
    nothing,
    writes=True,
)


@dataclass(frozen=True, slots=True)
class Rewind:
    """What a rewind takes back, as the ledger is now."""

    env: str
    org: str
    operator: str
    since_ms: int
    withdrawn: Sequence[tuple[str, Sequence[bytes]]]
    reported: Sequence[str]
    imported: Sequence[str]
    taken_back: Sequence[TakenBack]

    @property
    def restored_imports(self) -> list[str]:
        return [one.id for one in self.taken_back]

    def facts(self) -> dict[str, Any]:
        restored = [id_ for id_, _ in self.withdrawn]
        told = {"target": self.operator, "since_ms": self.since_ms, "restored": restored}
        return {**told, "imports": list(self.imported), "restored_imports": self.restored_imports}

    def effects(self) -> list[Effect]:
        return [Effect(key, 0, 0, Action.QUARANTINE, id_, None) for id_, keys in self.withdrawn for key in keys]

    async def mark(self, conn: AsyncConn, appended: Appended) -> None:
        restored = [id_ for id_, _ in self.withdrawn]
        params = {**_params(self.env, self.org, self.operator, self.since_ms), "restored": restored}
        await MARK.arun(conn, {**params, "seq": appended.seq})
        await MARK_RESTORED.arun(conn, {**params, "seq": appended.seq})
        await rewound_imports.MARK.arun(conn, {**params, "seq": appended.seq})


async def rewinding(conn: AsyncConn, env: str, org: str, operator: str, since_ms: int) -> Rewind:
    params = _params(env, org, operator, since_ms)
    withdrawn = await WITHDRAWN.arun(conn, params)
    reported = await REPORTED.arun(conn, {**params, "limit": SHOWN})
    imported = await rewound_imports.DOUBTED.arun(conn, {**params, "limit": SHOWN})
    taken_back = await rewound_imports.TAKEN_BACK.arun(conn, params)
    return Rewind(env, org, operator, since_ms, withdrawn, reported, imported, taken_back)


def _params(env: str, org: str, operator: str, since_ms: int) -> dict[str, Any]:
    return {"env": env, "org": org, "operator": operator, "since": since_ms}
