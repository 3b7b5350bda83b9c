"""openapi.json: made from the code. `python -m lostid.api.openapi > openapi.json`

The routes of the control plane are FastAPI's; the two that are bare ASGI are described here by hand, and what is
sent and answered on each is one line of a table. Tests hold the table to the routes and to real answers."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from lostid.api import models
from lostid.api.control import control_plane
from lostid.api.imports import MAX_REJECTIONS
from lostid.api.mirror import MOST_WAIT_S, NONCE, SHA256
from lostid.api.schemas import ANSWERS, ref
from lostid.api.texts import TABLE
from lostid.domain.withdrawal import STATES

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
_PAGE: dict[str, dict[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": models.MAX_PAGE, "default": 50},
    "cursor": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,128}$"},
}
_READ = (400, 401, 403, 413, 415, 422, 503)


@dataclass(frozen=True, slots=True)
class Operation:
    """What stands in openapi.json of one route beside its path."""

    summary: str
    answer: str | None
    role: str | None
    body: type[BaseModel] | None = None
    success: int = 200
    problems: tuple[int, ...] = (401, 403, 422, 503)
    write: bool = False
    streams: tuple[str, ...] = ()
    media: str = "application/json"
    unready: bool = False
    query: Mapping[str, dict[str, Any]] | None = None
    may_write: int | None = None
    """The status where the body makes a write of it, which then takes an Idempotency-Key."""


OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("post", "/v1/checks"): Operation(
        "Check one document", "CheckAnswer", "checker", models.CheckRequest, problems=(*_READ, 429)
    ),
    ("post", "/v1/checks/batch"): Operation(
        "Check up to 1,000 documents", "BatchAnswer", "checker", models.BatchRequest, problems=(*_READ, 429)
    ),
    ("post", "/v1/reports"): Operation(
        "Report a card", "ReportReceipt", "reporter", models.ReportRequest, 201, (*_READ, 409), write=True
    ),
    ("get", "/v1/reports/{report_id}"): Operation(
        "One of the organisation's own reports", "Report", "reporter", problems=(401, 403, 404, 422, 503)
    ),
    ("post", "/v1/reports/search"): Operation(
        "Reports on a document, or the organisation's own under a case number",
        "ReportList",
        "reporter",
        models.SearchRequest,
        problems=_READ,
    ),
    ("post", "/v1/reports/history"): Operation(
        "Every entry of a document, oldest first", "EntryList", "reporter", models.HistoryRequest, problems=_READ
    ),
    ("get", "/v1/log/checkpoint"): Operation(
        "The signed head of the log (C2SP tlog-checkpoint)", None, "auditor", media="text/plain; charset=utf-8"
    ),
    ("get", "/v1/log/tile/{path}"): Operation(
        "A tile of hashes, or a bundle of entries (C2SP tlog-tiles)",
        None,
        "auditor",
        problems=(401, 403, 404, 422, 503),
        media="application/octet-stream",
    ),
    ("get", "/v1/log/entries/{seq}/proof"): Operation(
        "That an entry is in the log", "InclusionProof", "auditor", problems=(401, 403, 404, 422, 503)
    ),
    ("get", "/v1/log/openings"): Operation(
        "Entries with the salts that tie them to their leaves", "Openings", "auditor", problems=(401, 403, 422, 503)
    ),
    ("post", "/v1/log/records"): Operation(
        "What this host answers for document keys, by the way of every check",
        "Records",
        "auditor",
        models.RecordsRequest,
        problems=_READ,
    ),
    ("get", "/.well-known/jwks.json"): Operation(
        "The keys that verify receipts, past ones included", "KeySet", None, problems=(422, 503)
    ),
    ("post", "/v1/checks/as-of"): Operation(
        "What a check was told at an instant, and what is known of that instant now",
        "AsOfAnswer",
        "reporter or auditor",
        models.AsOfRequest,
        problems=_READ,
    ),
    ("post", "/v1/reports/{report_id}/withdrawal"): Operation(
        "Ask that a report loses its effect; another person has 24 hours to agree",
        "WithdrawalPending",
        "reporter or supervisor",
        models.WithdrawalRequest,
        202,
        (*_READ, 404, 409),
        write=True,
    ),
    ("get", "/v1/withdrawals"): Operation(
        "Withdrawals, oldest first",
        "WithdrawalList",
        "reporter, approver or supervisor",
        query={"state": {"type": "string", "enum": list(STATES)}, **_PAGE},
    ),
    ("get", "/v1/withdrawals/{withdrawal_id}"): Operation(
        "One withdrawal", "Withdrawal", "reporter, approver or supervisor", problems=(401, 403, 404, 422, 503)
    ),
    ("post", "/v1/withdrawals/{withdrawal_id}/approve"): Operation(
        "Agree: the answer leaves when the report has lost its effect everywhere",
        "WithdrawalDecided",
        "approver or supervisor",
        models.WithdrawalDecision,
        problems=(*_READ, 404, 409),
        write=True,
    ),
    ("post", "/v1/withdrawals/{withdrawal_id}/refuse"): Operation(
        "Disagree: the report stays in force",
        "WithdrawalDecided",
        "approver or supervisor",
        models.WithdrawalDecision,
        problems=(*_READ, 404, 409),
        write=True,
    ),
    ("get", "/v1/sandbox/scenarios"): Operation(
        "The sandbox's magic numbers", "Scenarios", "any", problems=(401, 403, 404, 422, 503)
    ),
    ("post", "/v1/imports"): Operation(
        "Open an import", "ImportOpened", "importer", models.ImportRequest, 201, (*_READ, 409), write=True
    ),
    ("put", "/v1/imports/{import_id}/rows"): Operation(
        "Send the rows, of any size; after a break again from the beginning: every line counts once",
        "Import",
        "importer",
        success=202,
        problems=(401, 403, 404, 415, 422, 503),
        streams=("text/csv; charset=utf-8", "text/csv; charset=gb18030", "application/x-ndjson"),
    ),
    ("get", "/v1/imports/{import_id}"): Operation(
        "State, counts and progress of an import", "Import", "importer or approver", problems=(401, 403, 404, 422, 503)
    ),
    ("get", "/v1/imports/{import_id}/rejections"): Operation(
        "The lines that were rejected, and why",
        "RejectionList",
        "importer or approver",
        problems=(401, 403, 404, 422, 503),
        query={
            "limit": {"type": "integer", "minimum": 1, "maximum": MAX_REJECTIONS, "default": 200},
            "cursor": {"type": "string"},
        },
    ),
    ("post", "/v1/imports/{import_id}/release"): Operation(
        "Put an import in force; above 10,000 rows by another person than its importer",
        "ImportState",
        "importer or approver",
        models.ImportAct,
        202,
        (*_READ, 404, 409),
        write=True,
    ),
    ("post", "/v1/imports/{import_id}/withdrawal"): Operation(
        "Take a whole import back; what two people put in force takes two",
        "ImportState",
        "importer or approver",
        models.ImportAct,
        202,
        (*_READ, 404, 409),
        write=True,
    ),
    ("post", "/v1/operators/{name}/rewind"): Operation(
        "What an operator did since then; with dry_run false a second supervisor is asked to take it back (202)",
        "Rewind",
        "supervisor",
        models.RewindRequest,
        problems=(*_READ, 404, 409),
        may_write=202,
    ),
    ("get", "/v1/mirror/snapshot"): Operation(
        "A filter for checks in the caller's own process: a signed line (compact JWS), then the bits; of those that "
        "`sha256` names, the ones after the first `from` bytes",
        None,
        "mirror",
        media="application/octet-stream",
        query={
            "from": {"type": "integer", "minimum": 0, "default": 0},
            "sha256": {"type": "string", "pattern": SHA256},
        },
    ),
    ("get", "/v1/mirror/changes"): Operation(
        "What came after entry `since`, with a signed statement of how far and when; `wait` in seconds",
        "MirrorChanges",
        "mirror",
        query={
            "since": {"type": "integer", "minimum": 0},
            "nonce": {"type": "string", "pattern": NONCE},
            "wait": {"type": "integer", "minimum": 0, "maximum": MOST_WAIT_S, "default": 0},
        },
    ),
    ("get", "/livez"): Operation("The loop turns", "Alive", None, problems=()),
    ("get", "/readyz"): Operation(
        "Whether this host answers, and what it is doing", "Readiness", None, problems=(), unready=True
    ),
    ("get", "/metrics"): Operation(
        "Prometheus metrics of this host", None, "admin", problems=(401, 403, 503), media=PROMETHEUS
    ),
    ("get", "/v1/status"): Operation(
        "How far the ledger and its hosts are", "Status", "admin", problems=(401, 403, 503)
    ),
}

_HEADERS: dict[str, Any] = {
    "RequestId": {
        "name": "Request-Id",
        "in": "header",
        "description": "Echoed where it is [A-Za-z0-9_-]{8,64}; made where there is none, or another.",
        "schema": {"type": "string"},
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": True,
        "description": "Same key and body: the same answer. Kept at least 30 days.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]{0,253}[!-~])?$"},
    },
}
_EXAMPLES: dict[type[BaseModel], dict[str, Any]] = {
    models.CheckRequest: {
        "document": {"type": "cn.resident-id", "number": "11010519491231002X", "valid_from": "2015-03-01"},
        "operator": "desk-3",
        "purpose": "hotel.check_in",
        "reference": "booking-991",
    },
    models.ReportRequest: {
        "document": {"type": "cn.resident-id", "number": "11010519491231002X", "valid_from": "2015-03-01"},
        "reason": "lost",
        "effective_at": "2026-11-20T09:00:00+08:00",
        "operator": "officer-117",
        "case_number": "A-2026-11-0031",
    },
}


def describe() -> dict[str, Any]:
    """The whole document."""
    routes = control_plane().openapi()["paths"]
    found = {(method, path) for path, methods in routes.items() for method in methods}
    lane = {("post", "/v1/checks"), ("post", "/v1/checks/batch")}
    if found | lane != set(OPERATIONS):
        raise ValueError(f"routes and descriptions differ: {(found | lane) ^ set(OPERATIONS)}")
    paths: dict[str, dict[str, Any]] = {}
    for (method, path), operation in OPERATIONS.items():
        paths.setdefault(path, {})[method] = _operation(method, path, operation)
    bodies = [operation.body for operation in OPERATIONS.values() if operation.body]
    _, requests = models_json_schema(
        [(body, "validation") for body in bodies], ref_template="#/components/schemas/{model}"
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "lostid",
            "version": version("lostid"),
            "description": "A registry of lost identity documents: a card is invalid the moment its loss is reported. "
            "Fields may be added at any time; callers ignore what they do not know.",
        },
        "paths": paths,
        "components": {
            "schemas": {**requests["$defs"], **ANSWERS},
            "parameters": _HEADERS,
            "responses": {f"Problem{status}": _problem(status) for status in _statuses()},
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "lid_live_... or lid_test_..."}
            },
        },
    }


def _statuses() -> list[int]:
    return sorted({status for told in OPERATIONS.values() for status in told.problems})


def _operation(method: str, path: str, told: Operation) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [{"$ref": "#/components/parameters/RequestId"}]
    if told.write:
        parameters.append({"$ref": "#/components/parameters/IdempotencyKey"})
    if told.may_write:
        parameters.append({**_HEADERS["IdempotencyKey"], "required": False})
    for name, schema in (told.query or {}).items():
        parameters.append({"name": name, "in": "query", "schema": schema})
    described: dict[str, Any] = {
        "operationId": _name(method, path),
        "summary": told.summary,
        "parameters": [*_path_parameters(path), *parameters],
        "responses": {str(told.success): _success(told)},
    }
    if told.may_write:
        described["responses"][str(told.may_write)] = _success(told)
    if told.unready:
        described["responses"]["503"] = _success(told)
    for status in sorted(told.problems):
        described["responses"][str(status)] = {"$ref": f"#/components/responses/Problem{status}"}
    if told.role is None:
        described["security"] = []
    else:
        described["security"] = [{"key": []}, *([{}] if told.role == "admin" else [])]
        described["description"] = f"Role {told.role}." + (" Open to this machine." if told.role == "admin" else "")
    if told.body is not None:
        content: dict[str, Any] = {"schema": ref(told.body.__name__)}
        if told.body in _EXAMPLES:
            content["example"] = _EXAMPLES[told.body]
        needed = told.body is not models.ImportAct
        described["requestBody"] = {"required": needed, "content": {"application/json": content}}
    if told.streams:
        described["requestBody"] = {
            "required": True,
            "content": {media: {"schema": {"type": "string"}} for media in told.streams},
        }
    return described


def _success(told: Operation) -> dict[str, Any]:
    schema = {"type": "string"} if told.answer is None else ref(told.answer)
    headers: dict[str, Any] = {"Request-Id": {"schema": {"type": "string"}}}
    if told.write or told.may_write:
        headers["Location"] = {"schema": {"type": "string"}}
        headers["Idempotent-Replayed"] = {"schema": {"const": "true"}, "description": "This answer was sent before."}
    return {"description": told.summary, "headers": headers, "content": {told.media: {"schema": schema}}}


def _problem(status: int) -> dict[str, Any]:
    codes = [code for code, text in TABLE.items() if text.status == status]
    headers: dict[str, Any] = {"Request-Id": {"schema": {"type": "string"}}}
    if status in (429, 503):
        headers["Retry-After"] = {"schema": {"type": "integer"}, "description": "Seconds."}
    if status == 401:
        headers["WWW-Authenticate"] = {"schema": {"type": "string"}}
    content = {"application/problem+json": {"schema": ref("Problem")}}
    return {"description": "code: " + ", ".join(codes), "headers": headers, "content": content}


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _name(method: str, path: str) -> str:
    return "_".join([method, *(part.strip("{}") for part in path.split("/") if part and part != "v1")])


def text() -> str:
    return json.dumps(describe(), indent=1, ensure_ascii=False, sort_keys=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
