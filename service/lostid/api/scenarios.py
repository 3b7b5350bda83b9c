"""GET /v1/sandbox/scenarios: the magic numbers of the sandbox, from the table that the checks follow."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, Response

from lostid.api.admission import caller, refuse_numbered
from lostid.api.parts import parts_of
from lostid.api.problems import Problem
from lostid.api.sandbox import SCENARIOS
from lostid.domain.documents import RESIDENT_ID
from lostid.domain.roles import ROLES

router = APIRouter()


@router.get("/v1/sandbox/scenarios", dependencies=[Depends(caller(*ROLES))])
async def scenarios(request: Request) -> Response:
    """The table."""
    refuse_numbered(request)
    if not parts_of(request).settings.sandbox:
        raise Problem("not_found")
    told = [{"type": RESIDENT_ID, "number": each.number, "answers": each.answers} for each in SCENARIOS]
    return JSONResponse({"scenarios": told}, headers={"Cache-Control": "no-store"})
