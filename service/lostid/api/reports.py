"""/v1/reports: report, look up, search, history. Role reporter."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lostid.api import ids, reading, reporting
from lostid.api.admission import caller, refuse_numbered, sent, sent_write
from lostid.api.edge import OnlyPost
from lostid.api.models import HistoryRequest, ReportRequest, SearchRequest
from lostid.api.parts import parts_of
from lostid.api.problems import Problem
from lostid.domain.roles import REPORTER
from lostid.ledger.apikeys import ApiKey

router = APIRouter(prefix="/v1/reports")
Reporter = Annotated[ApiKey, Depends(caller(REPORTER))]


@router.post("")
async def create(request: Request, key: Reporter) -> Response:
    """Report a card. The answer leaves only when no check anywhere can miss the report."""
    asked, idempotency_key = await sent_write(request, ReportRequest)
    receipt = await reporting.report(parts_of(request), key, asked, idempotency_key)
    return receipt.answer(reporting.CREATED, router.prefix)


@router.post("/search")
async def search(request: Request, key: Reporter) -> Response:
    """Reports on a document, or the organisation's own under a case number."""
    asked = await sent(request, SearchRequest)
    return _json(await reading.search(parts_of(request), key, asked.body))


@router.post("/history")
async def history(request: Request, key: Reporter) -> Response:
    """Every entry of a document, oldest first."""
    asked = await sent(request, HistoryRequest)
    return _json(await reading.history(parts_of(request), key, asked.body))


for _path in ("/search", "/history"):  # no ids
    router.routes.append(Route(router.prefix + _path, OnlyPost()))


@router.get("/{report_id}")
async def show(request: Request, key: Reporter, report_id: str) -> Response:
    """One of the organisation's own reports. Never the number."""
    refuse_numbered(request)
    if ids.REPORT_ID.fullmatch(report_id) is None:
        raise Problem("not_found")
    return _json(await reading.own_report(parts_of(request), key, report_id))


def _json(told: dict[str, Any]) -> Response:
    return JSONResponse(told)
