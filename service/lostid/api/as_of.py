"""/v1/checks/as-of: what a check was told at an instant, and what is known of that instant today."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, Response

from lostid.api.admission import caller, sent
from lostid.api.clock import ms_of, now_ms, parse_instant
from lostid.api.models import AsOfRequest, given
from lostid.api.parts import Parts, parts_of
from lostid.api.problems import Fault, Problem
from lostid.api.reading import authorise, ration
from lostid.api.reporting import read_number
from lostid.domain.as_of import known_of, told_at
from lostid.domain.errors import Refusal
from lostid.domain.instance import instance_of
from lostid.domain.roles import AUDITOR, REPORTER
from lostid.ledger import covers
from lostid.ledger.apikeys import ApiKey

router = APIRouter()
Reader = Annotated[ApiKey, Depends(caller(REPORTER, AUDITOR))]
_AHEAD_MS = 5 * 60 * 1000  # of the server's clock, as everywhere


@router.post("/v1/checks/as-of")
async def as_of(request: Request, key: Reader) -> Response:
    """Rationed and journalled as search and history are."""
    asked = await sent(request, AsOfRequest)
    return JSONResponse(await _answer(parts_of(request), key, asked.body))


async def _answer(parts: Parts, key: ApiKey, asked: AsOfRequest) -> dict[str, Any]:
    at = parse_instant(asked.at)
    asked_ms = now_ms()
    if at is None:
        raise Problem("invalid", [Fault("/at", "value_invalid")])
    at_ms = ms_of(at)
    if at_ms > asked_ms + _AHEAD_MS:
        raise Problem("invalid", [Fault("/at", "in_future")])
    try:
        document = read_number(asked.document, parts.clock, asked_ms)
        instance = instance_of(given(asked.document), document, parts.clock.today(asked_ms))
    except Refusal as refusal:
        raise Problem("invalid", [Fault(refusal.within("/document"), refusal.code, refusal.expected)]) from None
    authorise(key, asked.operator)  # behind every 422, as the contract orders them
    document_key = parts.keyring.key(key.env, document)
    card = instance.tagged(parts.keyring.record_tag_key, document_key)
    with parts.read_room.place():
        await ration(parts, key, asked, document_key, "as_of")
        effects = await parts.reads_pool.read(covers.dated, document_key)
    status, reason, report_ids = known_of(effects, card, at_ms)
    known: dict[str, Any] = {"status": status, "report_ids": list(report_ids)}
    if reason is not None:
        known["reason"] = reason
    return {"told": {"status": told_at(effects, card, at_ms)}, "known_now": known}
