"""Rewind: a supervisor sees what an operator did since T and, with a second one, has it taken back."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import MISSING
from starlette.responses import JSONResponse, Response

from lostid.api import ids, withdrawing
from lostid.api.admission import idempotency_key, sent
from lostid.api.clock import ms_of, now_ms, parse_instant
from lostid.api.models import RewindRequest
from lostid.api.parts import Parts, parts_of
from lostid.api.problems import Fault, Problem
from lostid.api.withdrawals import PATH
from lostid.api.withdrawing import Admitted, attempting
from lostid.api.writing import Proved, prove, to_its_end
from lostid.domain.roles import SUPERVISOR
from lostid.domain.withdrawal import AWAITING
from lostid.ledger import withdrawals, writes
from lostid.ledger import withdrawing as ledger
from lostid.ledger.rewinds import SHOWN, Rewind, rewinding
from lostid.ledger.writes import InForce

router = APIRouter()
Supervisor = Annotated[Admitted, Depends(attempting("rewind", SUPERVISOR))]


@router.post("/v1/operators/{name}/rewind")
async def rewind(request: Request, who: Supervisor, name: str) -> Response:
    """A preview, unless `dry_run` is false: then it waits for a second supervisor, as a withdrawal does."""
    asked = await sent(request, RewindRequest)
    body, parts = asked.body, parts_of(request)
    since_ms = _since_ms(body.since)
    if body.operator is not MISSING and body.operator != who.key.operator:
        await withdrawing.refuse(parts, who.attempt, "operator_mismatch")
    if ids.NAME.fullmatch(name) is None or ids.reads_as_number(name):
        await withdrawing.refuse(parts, who.attempt, "not_found")
    if body.dry_run:
        with parts.read_room.place():
            found = await parts.reads_pool.read(rewinding, who.key.env, who.key.org, name, since_ms)
        return JSONResponse(_shown(parts, found))
    if body.evidence is MISSING:
        raise Problem("invalid", [Fault("/evidence", "field_missing")])
    write = writes.write_key(
        parts.keyring.fingerprint_key, who.key.env, who.key.org, idempotency_key(request), asked.canonical
    )
    new = ledger.AskRewind(who.attempt, parts.ids.new("wdr_", now_ms()), name, since_ms, body.evidence)

    async def answer(proved: Proved) -> tuple[bytes, InForce | None]:
        row = await parts.reports_pool.read(withdrawals.get, proved.id)
        if row is None:
            raise Problem("ledger_unavailable")
        found = await parts.reports_pool.read(rewinding, who.key.env, who.key.org, name, since_ms)
        pending = {"id": row.id, "state": AWAITING, "expires_at": parts.clock.text(row.expires_ms)}
        return json.dumps(pending | _shown(parts, found), separators=(",", ":")).encode(), None

    with parts.report_room.place():
        outcome = withdrawing.told(await parts.reports_pool.write(lambda conn: ledger.ask_rewind(conn, write, new)))
        proving = prove(parts, write, new.new_id, outcome, withdrawing.ACCEPTED, answer)
        return (await to_its_end(proving)).answer(withdrawing.ACCEPTED, PATH)


def _shown(parts: Parts, found: Rewind) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operator": found.operator,
        "since": parts.clock.text(found.since_ms),
        "restored": [id_ for id_, _ in found.withdrawn],
        "marked": list(found.reported),
        "imports": list(found.imported),
        "restored_imports": found.restored_imports,
    }
    return {**told, "more": True} if SHOWN in (len(found.reported), len(found.imported)) else told


def _since_ms(text: str) -> int:
    since = parse_instant(text)
    if since is None:
        raise Problem("invalid", [Fault("/since", "value_invalid")])
    return max(0, ms_of(since))
