"""/v1/imports: many reports from a file, guarded: nothing is in force before the release."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, Response

from lostid.api import importing
from lostid.api.admission import caller, refuse_numbered, sent_write, sent_write_or_nothing
from lostid.api.models import ImportAct, ImportRequest, ImportWithdrawal
from lostid.api.parts import parts_of
from lostid.api.problems import Fault, Problem
from lostid.api.reading import listed
from lostid.domain.roles import APPROVER, IMPORTER
from lostid.ledger import imports
from lostid.ledger.apikeys import ApiKey

MAX_REJECTIONS = 1_000

router = APIRouter(prefix="/v1/imports")
Importer = Annotated[ApiKey, Depends(caller(IMPORTER))]
Either = Annotated[ApiKey, Depends(caller(IMPORTER, APPROVER))]


@router.post("")
async def create(request: Request, key: Importer) -> Response:
    """Open an import. Its rows are sent next."""
    asked, idempotency_key = await sent_write(request, ImportRequest)
    receipt = await importing.open_(parts_of(request), key, asked, idempotency_key)
    return receipt.answer(importing.OPENED, router.prefix)


@router.put("/{import_id}/rows")
async def rows(request: Request, key: Importer, import_id: str) -> Response:
    """The rows, streamed. After a break they are sent again from the beginning: every line counts once."""
    refuse_numbered(request)
    parts = parts_of(request)
    await importing.receive(parts, key, await importing.find(parts, key, import_id), request)
    told = importing.shown(parts.clock, await importing.find(parts, key, import_id))
    return JSONResponse(told, importing.ACCEPTED)


@router.get("/{import_id}")
async def show(request: Request, key: Either, import_id: str) -> Response:
    """State, counts, progress."""
    refuse_numbered(request)
    parts = parts_of(request)
    return JSONResponse(importing.shown(parts.clock, await importing.find(parts, key, import_id)))


@router.get("/{import_id}/rejections")
async def rejections(request: Request, key: Either, import_id: str) -> Response:
    """The lines that were rejected, with the code that says why."""
    refuse_numbered(request)
    parts, (after, limit) = parts_of(request), _page(request)
    found = await importing.find(parts, key, import_id)
    asked = {"number": found.number, "after": after, "limit": limit}
    lines = await parts.reads_pool.read(lambda conn: imports.REJECTIONS.arun(conn, asked))
    shown: list[dict[str, Any]] = [
        {"line": line, "code": code, **({} if field is None else {"field": field})} for line, code, field in lines
    ]
    return JSONResponse(listed("rejections", shown, str(lines[-1][0]) if len(lines) == limit else None))


@router.post("/{import_id}/release")
async def release(request: Request, key: Either, import_id: str) -> Response:
    """Put the import in force. Above 10,000 rows somebody else than the importer does it."""
    asked, idempotency_key = await sent_write_or_nothing(request, ImportAct)
    receipt = await importing.release(parts_of(request), key, import_id, asked, idempotency_key)
    return receipt.answer(importing.ACCEPTED, router.prefix)


@router.post("/{import_id}/withdrawal")
async def withdraw(request: Request, key: Either, import_id: str) -> Response:
    """Take the whole import back, and nothing else. What two people put in force takes two: one asks, one agrees."""
    asked, idempotency_key = await sent_write_or_nothing(request, ImportWithdrawal)
    receipt = await importing.withdraw(parts_of(request), key, import_id, asked, idempotency_key)
    return receipt.answer(importing.ACCEPTED, router.prefix)


def _page(request: Request) -> tuple[int, int]:
    """(after which line, how many)."""
    found = []
    for name, default, least, most in (("cursor", 0, 0, 1 << 62), ("limit", 200, 1, MAX_REJECTIONS)):
        text = request.query_params.get(name, str(default))
        if not (text.isascii() and text.isdigit() and len(text) <= 19 and least <= int(text) <= most):
            raise Problem("invalid", [Fault(f"/query/{name}", "value_invalid")])
        found.append(int(text))
    return found[0], found[1]
