"""Withdrawals: asked for by one, decided by another. The one who asked is never the one who decides."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, Response

from lostid.api import ids, withdrawing
from lostid.api.admission import caller, refuse_numbered, sent_write, sent_write_or_nothing
from lostid.api.clock import Clock
from lostid.api.models import MAX_PAGE, WithdrawalDecision, WithdrawalRequest
from lostid.api.parts import parts_of
from lostid.api.problems import Fault, Problem
from lostid.api.reading import cursor_of, listed, place_of
from lostid.api.withdrawing import Admitted, actor_of, attempting
from lostid.domain.roles import APPROVER, REPORTER, SUPERVISOR
from lostid.domain.withdrawal import STATES, Event, visible
from lostid.ledger import withdrawals
from lostid.ledger.apikeys import ApiKey
from lostid.ledger.reports import Place
from lostid.ledger.withdrawals import Withdrawal

PATH = "/v1/withdrawals"
router = APIRouter()
Reader = Annotated[ApiKey, Depends(caller(REPORTER, APPROVER, SUPERVISOR))]
Asker = Annotated[Admitted, Depends(attempting("request", REPORTER, SUPERVISOR))]
Approver = Annotated[Admitted, Depends(attempting("approve", APPROVER, SUPERVISOR))]
Refuser = Annotated[Admitted, Depends(attempting("refuse", APPROVER, SUPERVISOR))]


@router.post("/v1/reports/{report_id}/withdrawal")
async def ask(request: Request, who: Asker) -> Response:
    """Ask that a report loses its effect. Somebody else has 24 hours to agree."""
    asked, idempotency_key = await sent_write(request, WithdrawalRequest)
    receipt = await withdrawing.ask(parts_of(request), who, asked, idempotency_key)
    return receipt.answer(withdrawing.ACCEPTED, PATH)


@router.get("/v1/withdrawals")
async def listing(request: Request, key: Reader) -> Response:
    """The organisation's withdrawals, oldest first; for supervisors also those of deaths reported elsewhere."""
    refuse_numbered(request)
    state, limit, after = _query(request)
    parts, deaths = parts_of(request), SUPERVISOR in key.roles
    with parts.read_room.place():
        found = await parts.reads_pool.read(
            lambda conn: withdrawals.listed(conn, key.env, key.org, deaths, state, after, limit)
        )
    more = cursor_of(Place(found[-1].seq, found[-1].id)) if len(found) == limit else None
    return JSONResponse(listed("withdrawals", [shown(parts.clock, row) for row in found], more))


@router.get("/v1/withdrawals/{withdrawal_id}")
async def show(request: Request, key: Reader, withdrawal_id: str) -> Response:
    """One withdrawal, with its grounds and its evidence."""
    refuse_numbered(request)
    parts, row = parts_of(request), None
    if ids.WITHDRAWAL_ID.fullmatch(withdrawal_id):
        with parts.read_room.place():
            row = await parts.reads_pool.read(withdrawals.get, withdrawal_id)
    if row is None or not visible(row.asked, actor_of(key)):
        raise Problem("not_found")
    return JSONResponse(shown(parts.clock, row))


@router.post("/v1/withdrawals/{withdrawal_id}/approve")
async def approve(request: Request, who: Approver) -> Response:
    """Agree. The answer leaves when no host can still answer from before it."""
    return await _decide(request, who, Event.APPROVE)


@router.post("/v1/withdrawals/{withdrawal_id}/refuse")
async def refuse(request: Request, who: Refuser) -> Response:
    """Disagree, once and for all. The report stays in force."""
    return await _decide(request, who, Event.REFUSE)


async def _decide(request: Request, who: Admitted, event: Event) -> Response:
    asked, idempotency_key = await sent_write_or_nothing(request, WithdrawalDecision)
    receipt = await withdrawing.decide(parts_of(request), who, event, asked, idempotency_key)
    return receipt.answer(withdrawing.DECIDED, PATH)


def shown(clock: Clock, row: Withdrawal) -> dict[str, Any]:
    """A withdrawal as callers see it. Never the number, nor anything made from it."""
    found: dict[str, Any] = {
        "id": row.id, "seq": row.seq, "kind": row.kind, "state": row.state, "grounds": row.grounds,
        "evidence": row.evidence, "org": row.org, "station": row.station, "operator": row.operator,
        "requested_at": clock.text(row.asked_ms), "expires_at": clock.text(row.expires_ms),
    }  # fmt: skip
    if row.report_id is not None:
        found |= {"report_id": row.report_id, "reason": row.reason}
    if row.target is not None and row.since_ms is not None:
        found |= {"target": row.target, "since": clock.text(row.since_ms)}
    if row.decided_seq is not None and row.decided_ms is not None:
        found |= {"decided_seq": row.decided_seq, "decided_at": clock.text(row.decided_ms)}
    return found


def _query(request: Request) -> tuple[str | None, int, Place]:
    """(state, limit, after which). Raises Problem invalid."""
    asked = request.query_params
    state, limit, cursor = asked.get("state"), asked.get("limit", "50"), asked.get("cursor")
    if state is not None and state not in STATES:
        raise Problem("invalid", [Fault("/query/state", "value_invalid")])
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 9 and 1 <= int(limit) <= MAX_PAGE):
        raise Problem("invalid", [Fault("/query/limit", "value_invalid")])
    return state, int(limit), place_of(cursor, "/query/cursor")
