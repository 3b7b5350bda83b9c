"""Rows about withdrawals, and the facts that decide them. What a withdrawal *does* is in `covers`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lostid.domain.covers import Action
from lostid.domain.withdrawal import APPROVED, REFUSED, WINDOW_MS, Actor, Asked, Cap, Reported, counted_apart
from lostid.ledger import entries, reports
from lostid.ledger.entries import Appended
from lostid.ledger.reports import Place
from lostid.ledger.statement import AsyncConn, Rows, Statement, nothing

WITHDRAWAL: Final = "withdrawal"
REWIND: Final = "rewind"
_DAY_MS: Final = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A row, with what the ledger says about it now."""

    id: str
    seq: int
    kind: str
    env: str
    org: str
    station: str
    operator: str
    key_id: str
    report_id: str | None
    doc_keys: Sequence[bytes]
    grounds: str
    evidence: str
    target: str | None
    since_ms: int | None
    asked_ms: int
    expires_ms: int
    stored: str
    decided_seq: int | None
    decided_ms: int | None
    state: str
    """As it is now: `expired` and `overtaken` before anybody tried."""
    overtaken: bool
    requester_stands: bool
    reason: str | None
    reported_by: Actor | None
    report_withdrawn: bool

    @property
    def requester(self) -> Actor:
        return Actor(self.key_id, self.env, self.org, self.station, self.operator)

    @property
    def asked(self) -> Asked:
        """The facts for the domain's rules, as stored: what time did to it is for them to say."""
        reported = None
        if self.report_id is not None and self.reported_by is not None:
            reported = Reported(self.report_id, self.reason or "", self.reported_by, self.report_withdrawn)
        rewinds = None if self.target is None else (self.org, self.target)
        return Asked(
            self.requester, self.requester_stands, self.stored, self.expires_ms, self.overtaken, self.grounds,
            reported, rewinds,
        )  # fmt: skip


def _withdrawal(row: tuple[object, ...]) -> Withdrawal:
    *own, reason, key_id, env, org, station, operator, withdrawn = row
    by = None if key_id is None else Actor(key_id, env, org, station, operator)  # type: ignore[arg-type]
    return Withdrawal(*own, reason, by, bool(withdrawn))  # type: ignore[call-arg, arg-type]


def _withdrawals(rows: Rows) -> list[Withdrawal]:
    return [_withdrawal(row) for row in rows]


# An ADD or a restored report after the request changes what two people were asked about.
_SELECT: Final = """
    SELECT w.id, w.seq, w.kind, w.env, w.org, w.station, w.operator, w.key_id, w.report_id, w.doc_keys, w.grounds,
           w.evidence, w.target, w.since_ms, w.asked_ms, w.expires_ms, w.state, w.decided_seq, w.decided_ms,
           now.state, now.overtaken,
           EXISTS (SELECT FROM api_keys k WHERE k.id = w.key_id AND k.revoked_seq IS NULL
                      AND k.roles && (CASE w.kind WHEN 'rewind' THEN ARRAY['supervisor']
                                                  ELSE ARRAY['reporter', 'supervisor'] END)),
           r.reason, r.key_id, r.env, r.org, r.station, r.operator, r.withdrawn_seq IS NOT NULL
      FROM withdrawals w LEFT JOIN reports r ON r.id = w.report_id
     CROSS JOIN LATERAL (
           SELECT r.withdrawn_seq IS NOT NULL
                  OR EXISTS (SELECT FROM effects c
                              WHERE c.doc_key = ANY (w.doc_keys) AND c.seq > w.seq AND c.action IN (1, 4)) AS newer
           ) ledger
     CROSS JOIN LATERAL (
           SELECT w.state = 'awaiting_approval' AND ledger.newer AS overtaken,
                  CASE WHEN w.state <> 'awaiting_approval' THEN w.state
                       WHEN ledger.newer THEN 'overtaken'
                       WHEN w.expires_ms <= extract(epoch FROM clock_timestamp()) * 1000 THEN 'expired'
                       ELSE w.state END AS state
           ) now
"""

GET = Statement(f"{_SELECT} WHERE w.id = %(id)s", lambda rows: _withdrawal(rows[0]) if rows else None)

# Own ones; for supervisors also those of deaths reported elsewhere, which they decide.
LIST = Statement(
    f"""
    {_SELECT}
     WHERE w.env = %(env)s AND (w.org = %(org)s OR (%(deaths)s AND r.reason = 'deceased'))
       AND (%(state)s::text IS NULL OR now.state = %(state)s::text) AND w.seq > %(after)s
     ORDER BY w.seq LIMIT %(limit)s
    """,
    _withdrawals,
)

REPORT = Statement(
    """
    SELECT id, seq, reason, key_id, env, org, station, operator, withdrawn_seq IS NOT NULL
      FROM reports WHERE id = %(id)s
    """,
    lambda rows: (int(rows[0][1]), _reported(rows[0])) if rows else None,
)

SPENT = Statement(
    """
    SELECT count(*) FILTER (WHERE asked_ms > %(now)s::bigint - 86400000), count(*)
      FROM withdrawals
     WHERE env = %(env)s AND org = %(org)s AND operator = %(operator)s AND kind = 'withdrawal' AND apart = %(apart)s
       AND asked_ms > %(now)s::bigint - 30 * 86400000::bigint
    """,
    lambda rows: Cap(int(rows[0][0]), int(rows[0][1])),
)

INSERT = Statement(
    """
    INSERT INTO withdrawals (id, seq, kind, env, org, station, operator, key_id, report_id, doc_keys, grounds, evidence,
                             apart, target, since_ms, asked_ms, expires_ms)
    VALUES (%(id)s, %(seq)s, %(kind)s, %(env)s, %(org)s, %(station)s, %(operator)s, %(key_id)s, %(report_id)s,
            %(doc_keys)s, %(grounds)s, %(evidence)s, %(apart)s, %(target)s, %(since_ms)s, %(asked_ms)s, %(expires_ms)s)
    """,
    nothing,
    writes=True,
)

MOVE = Statement(
    """
    WITH moved AS (
        UPDATE withdrawals SET state = %(state)s, decided_seq = %(seq)s, decided_ms = %(at_ms)s, decided_org = %(org)s,
                               decided_operator = %(operator)s
         WHERE id = %(id)s RETURNING report_id, kind
    )
    UPDATE reports r SET withdrawn_seq = %(seq)s FROM moved
     WHERE r.id = moved.report_id AND moved.kind = 'withdrawal' AND %(state)s = 'approved'
    """,
    nothing,
    writes=True,
)

SPEAKS_OF = Statement("INSERT INTO report_lines (report_id, seq) VALUES (%(report_id)s, %(seq)s)", nothing, writes=True)


def _reported(row: tuple[object, ...]) -> Reported:
    id_, _, reason, key_id, env, org, station, operator, withdrawn = row
    by = Actor(key_id, env, org, station, operator)  # type: ignore[arg-type]
    return Reported(id_, reason, by, bool(withdrawn))  # type: ignore[arg-type]


async def get(conn: AsyncConn, id_: str) -> Withdrawal | None:
    """Anybody's: who may see it is for the caller to ask."""
    return await GET.arun(conn, {"id": id_})


async def listed(
    conn: AsyncConn, env: str, org: str, deaths: bool, state: str | None, after: Place = reports.START, limit: int = 100
) -> list[Withdrawal]:
    params = {"env": env, "org": org, "deaths": deaths, "state": state, "after": after.seq, "limit": limit}
    return await LIST.arun(conn, params)


async def reported(conn: AsyncConn, id_: str) -> tuple[int, Reported] | None:
    """(seq, what the rules need) of anybody's report."""
    return await REPORT.arun(conn, {"id": id_})


async def doc_keys_of(conn: AsyncConn, report_id: str, seq: int) -> list[bytes]:
    """The documents that a report put covers on, from its entry."""
    entry = await entries.AT.arun(conn, {"seq": seq})
    effects = () if entry is None else entry.effects
    own = (effect.key for effect in effects if effect.report_id == report_id and effect.action is Action.ADD)
    return list(dict.fromkeys(own))


async def spent(conn: AsyncConn, actor: Actor, reason: str, grounds: str, now_ms: int) -> Cap:
    """How often the operator asked in the last day and in the last 30, whatever came of it."""
    params = {"env": actor.env, "org": actor.org, "operator": actor.operator, "now": now_ms}
    return await SPENT.arun(conn, {**params, "apart": counted_apart(reason, grounds)})


@dataclass(frozen=True, slots=True)
class NewRow:
    id: str
    kind: str
    grounds: str
    evidence: str
    report_id: str | None = None
    doc_keys: Sequence[bytes] = ()
    apart: bool = False
    target: str | None = None
    since_ms: int | None = None


async def insert(conn: AsyncConn, new: NewRow, actor: Actor, appended: Appended, now_ms: int) -> None:
    await INSERT.arun(
        conn,
        {
            "id": new.id, "kind": new.kind, "grounds": new.grounds, "evidence": new.evidence,
            "report_id": new.report_id, "doc_keys": list(new.doc_keys), "apart": new.apart, "target": new.target,
            "since_ms": new.since_ms, "seq": appended.seq, "env": actor.env, "org": actor.org,
            "station": actor.station, "operator": actor.operator, "key_id": actor.key_id, "asked_ms": now_ms,
            "expires_ms": now_ms + WINDOW_MS,
        },
    )  # fmt: skip


async def move(conn: AsyncConn, id_: str, state: str, appended: Appended, actor: Actor | None = None) -> None:
    """It is decided, or found too late or overtaken. An approved one takes its report with it."""
    by = actor if state in (APPROVED, REFUSED) else None
    place = {"seq": appended.seq, "at_ms": appended.recorded_ms}
    who = {"org": by.org if by else None, "operator": by.operator if by else None}
    await MOVE.arun(conn, {"id": id_, "state": state, **place, **who})


async def speaks_of(conn: AsyncConn, report_id: str, appended: Appended) -> None:
    """The entry stands in the history of the report's documents."""
    await SPEAKS_OF.arun(conn, {"report_id": report_id, "seq": appended.seq})
