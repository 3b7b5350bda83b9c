"""Rows about reports: what the API shows of them. What a report *does* is in `covers`; nothing here decides a check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lostid.domain.covers import Effect
from lostid.ledger.entries import Draft
from lostid.ledger.statement import AsyncConn, Params, Rows, Statement


@dataclass(frozen=True, slots=True)
class NewReport:
    """A report as its transaction writes it. `covers` is what the receipt tells the reporter, without the number."""

    id: str
    env: str
    org: str
    station: str
    operator: str
    key_id: str
    type: str
    case_number: str
    reason: str
    effective_ms: int
    covers: Mapping[str, Any]

    def draft(self, effects: Sequence[Effect], sealed: Mapping[bytes, bytes]) -> Draft:
        """Its entry. Who reported what stands in the body; the row is made from there."""
        facts = {
            "env": self.env,
            "org": self.org,
            "station": self.station,
            "operator": self.operator,
            "key_id": self.key_id,
            "type": self.type,
            "case_number": self.case_number,
            "reason": self.reason,
            "effective_ms": self.effective_ms,
            "covers": dict(self.covers),
        }
        return Draft("report", self.id, facts, effects, sealed)


@dataclass(frozen=True, slots=True)
class Report:
    id: str
    seq: int
    env: str
    org: str
    station: str
    operator: str
    key_id: str
    type: str
    case_number: str
    reason: str
    effective_ms: int
    covers: Mapping[str, Any]
    recorded_ms: int
    in_force_ms: int | None
    visibility: Mapping[str, Any] | None
    withdrawn_seq: int | None
    review_seq: int | None

    @property
    def state(self) -> str:
        """`recorded` until its effect is proved everywhere, `in_force`, `withdrawn`."""
        if self.withdrawn_seq is not None:
            return "withdrawn"
        return "recorded" if self.in_force_ms is None else "in_force"


@dataclass(frozen=True, slots=True)
class Place:
    """A cursor in a list of reports: after this one."""

    seq: int
    id: str


START: Final = Place(0, "")

_COLUMNS: Final = """
    r.id, r.seq, r.env, r.org, r.station, r.operator, r.key_id, r.type, r.case_number, r.reason, r.effective_ms,
    r.covers, r.recorded_ms, r.in_force_ms, r.visibility, r.withdrawn_seq, r.review_seq
"""


def _reports(rows: Rows) -> list[Report]:
    return [Report(*row) for row in rows]


GET = Statement(
    f"SELECT {_COLUMNS} FROM reports r WHERE r.id = %(id)s AND r.env = %(env)s AND r.org = %(org)s",
    lambda rows: Report(*rows[0]) if rows else None,
)

BY_DOCUMENT = Statement(
    f"""
    SELECT {_COLUMNS} FROM reports r
     WHERE r.id IN (SELECT c.report_id FROM covers c WHERE c.doc_key = %(key)s) AND r.env = %(env)s
       AND (r.seq, r.id) > (%(seq)s, %(id)s)
     ORDER BY r.seq, r.id LIMIT %(limit)s
    """,
    _reports,
)

BY_CASE = Statement(
    f"""
    SELECT {_COLUMNS} FROM reports r
     WHERE r.env = %(env)s AND r.org = %(org)s AND r.case_number = %(case_number)s AND r.recorded_ms >= %(since)s
       AND (r.seq, r.id) > (%(seq)s, %(id)s)
     ORDER BY r.seq, r.id LIMIT %(limit)s
    """,
    _reports,
)


async def get(conn: AsyncConn, env: str, org: str, id_: str) -> Report | None:
    """None also for another organisation's or environment's report."""
    return await GET.arun(conn, {"id": id_, "env": env, "org": org})


async def by_document(conn: AsyncConn, env: str, key: bytes, after: Place = START, limit: int = 100) -> list[Report]:
    """Every report on a document, whoever made it, oldest first."""
    return await BY_DOCUMENT.arun(conn, {"key": key, "env": env, "seq": after.seq, "id": after.id, "limit": limit})


async def by_case(
    conn: AsyncConn, env: str, org: str, case_number: str, since_ms: int = 0, after: Place = START, limit: int = 100
) -> list[Report]:
    """An organisation's own reports under a case number, oldest first."""
    params: Params = {"env": env, "org": org, "case_number": case_number, "since": since_ms}
    return await BY_CASE.arun(conn, {**params, "seq": after.seq, "id": after.id, "limit": limit})


UNSETTLED = Statement(
    "SELECT DISTINCT seq FROM reports WHERE in_force_ms IS NULL ORDER BY seq LIMIT %(limit)s",
    lambda rows: [int(row[0]) for row in rows],
)

SETTLE = Statement(
    """
    UPDATE reports SET in_force_ms = floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint
     WHERE seq = ANY (%(seqs)s) AND in_force_ms IS NULL RETURNING id
    """,
    len,
    writes=True,
)


async def unsettled(conn: AsyncConn, limit: int = 100) -> list[int]:
    """Entries whose reports are `recorded` and perhaps forgotten: their writer died before the answer."""
    return await UNSETTLED.arun(conn, {"limit": limit})


async def settle(conn: AsyncConn, seqs: Sequence[int]) -> int:
    """Note reports as in force; how many. Only for entries that the caller received from `unsettled` at least L_w ago
    by its own monotonic clock: every lease from before them has ended by then."""
    return await SETTLE.arun(conn, {"seqs": list(seqs)})
