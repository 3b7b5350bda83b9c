"""/v1/log/openings, /v1/log/imports and /v1/log/records: for auditors, who replay the entries and the rows of imports
that they name, and compare what comes out with what the registry answers. Role auditor, also where the log is open to
everybody: entries say who worked on which case."""

from __future__ import annotations

from base64 import b64encode
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, Response

from lostid.api.admission import caller, refuse_numbered, sent
from lostid.api.models import RecordsRequest
from lostid.api.parts import Parts, parts_of
from lostid.api.problems import Fault, Problem
from lostid.domain.covers import Reach
from lostid.domain.roles import AUDITOR
from lostid.filter.page import Unproven
from lostid.ledger import import_reading, tree
from lostid.ledger.apikeys import ApiKey
from lostid.ledger.statement import AsyncConn
from lostid.registry.lookup import FreshnessUnproven

router = APIRouter()
Auditor = Annotated[ApiKey, Depends(caller(AUDITOR))]
_NO_STORE: Final = {"Cache-Control": "no-store"}
_AT_ONCE: Final = 1_000
_BYTES: Final = 2_000_000


@router.get("/v1/log/openings")
async def openings(request: Request, _: Auditor) -> Response:
    """Entries after `after`, as many as fit; each is what its chain hash, and with the salt its leaf, commits to."""
    refuse_numbered(request)
    after = request.query_params.get("after", "0")
    if not _is_count(after):
        raise Problem("invalid", [Fault("/query/after", "value_invalid")])
    parts = parts_of(request)
    with parts.read_room.place():
        return JSONResponse(await parts.reads_pool.read(_openings, int(after)), headers=_NO_STORE)


async def _openings(conn: AsyncConn, after: int) -> dict[str, Any]:
    tip = await tree.TIP.arun(conn)
    asked = {"after": after, "size": tip.size, "limit": _AT_ONCE, "bytes": _BYTES}
    shown = [
        {
            "seq": found.seq,
            "prev": found.prev.hex(),
            "recorded_ms": found.recorded_ms,
            "body": found.body.decode("utf-8", "replace"),
            "salt": None if found.salt is None else found.salt.hex(),
        }
        for found in await tree.OPENINGS.arun(conn, asked)
    ]
    return {"openings": shown, "size": tip.size}


@router.get("/v1/log/imports/{number}")
async def import_rows(request: Request, _: Auditor, number: str) -> Response:
    """The part after `after` of a released import's rows, which the digest in its entry covers; none after the last."""
    refuse_numbered(request)
    after = request.query_params.get("after", "")
    if not _is_count(number):
        raise Problem("not_found")
    if after and not (_is_count(after) and int(after) < 1 << 31):
        raise Problem("invalid", [Fault("/query/after", "value_invalid")])
    asked = {"number": int(number), "after": int(after) if after else import_reading.BEFORE_ALL}
    parts = parts_of(request)
    with parts.read_room.place():
        found = await parts.reads_pool.read(lambda conn: import_reading.RELEASED_PART.arun(conn, asked))
    shown = [] if found is None else [{"part": found.part, "rows": b64encode(found.rows).decode()}]
    return JSONResponse({"parts": shown}, headers=_NO_STORE)


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


@router.post("/v1/log/records")
async def records(request: Request, _: Auditor) -> Response:
    """What a check on this host would be decided on: its filter first, and for what is in there the exact record."""
    asked = await sent(request, RecordsRequest)
    parts = parts_of(request)
    with parts.read_room.place():
        try:
            told = await _records(parts, [bytes.fromhex(key) for key in asked.body.keys])
        except (Unproven, FreshnessUnproven):
            raise Problem("freshness_unproven") from None
    return JSONResponse(told, headers=_NO_STORE)


async def _records(parts: Parts, keys: list[bytes]) -> dict[str, Any]:
    view = parts.checks.view
    if view is None:
        raise Problem("starting")
    position = view.page.position()
    contains = view.current()
    known = list(dict.fromkeys(key for key in keys if contains(key)))
    found = dict(zip(known, await parts.checks.lookup.of(known), strict=True)) if known else {}
    return {
        "seq": position.seq,
        "records": [
            {
                "key": key.hex(),
                "in_filter": key in found,
                "covers": [_told(reach) for reach in found[key].record.reaches] if key in found else [],
            }
            for key in keys
        ],
    }


def _told(reach: Reach) -> dict[str, Any]:
    told: dict[str, Any] = {"kind": int(reach.kind), "final": reach.final}
    if reach.watermark is not None:
        told["watermark"] = reach.watermark
    if reach.serial_tag is not None:
        told["serial_tag"] = reach.serial_tag.hex()
    if reach.also_spared:
        told["also_spared"] = [tag.hex() for tag in reach.also_spared]
    return told
