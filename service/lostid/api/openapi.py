"""openapi.json: made from the code. `python -m lostid.api.openapi > openapi.json`

The routes of the control plane are FastAPI's; the two that are bare ASGI are described here by hand, and what is
sent and answered on each is one line of the table in `operations`."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from lostid.api import models
from lostid.api.control import control_plane
from lostid.api.operations import OPERATIONS, Operation
from lostid.api.schemas import ANSWERS, ref
from lostid.api.texts import TABLE

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
        needed = told.body not in (models.ImportAct, models.ImportWithdrawal, models.WithdrawalDecision)
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
