"""Around the control plane: the request's id, the last net for errors, and one line in the log for each request.

Pure ASGI. Nothing of what the caller sent is logged but a well-formed Request-Id: no body, no path (its template
instead), no header."""

from __future__ import annotations

import time

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from lostid.api import logs, meters
from lostid.api.ids import Ids
from lostid.api.lane import App, Message, Receive, Scope, Send, answer_with
from lostid.api.problems import Answer, Header, Problem, prefers_chinese, render
from lostid.guard.auth import Refused
from lostid.ledger.errors import LedgerError, LedgerFault

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_QUIET = frozenset(("/livez", "/readyz", "/metrics"))  # probes: a line each second would bury the rest


class Edge:
    """Puts into scope["state"]: request_id, numbered (its own id was a document number), zh.
    Handlers add `key` and `code`."""

    def __init__(self, inner: App) -> None:
        self._inner = inner
        self._ids = Ids()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        began = time.perf_counter_ns()
        head = dict(scope["headers"])
        request_id, numbered = self._ids.of_request(head.get(b"request-id"))
        state = scope["state"] = dict(scope.get("state") or {})
        state.update(request_id=request_id, numbered=numbered, zh=prefers_chinese(head.get(b"accept-language", b"")))
        status = 0

        async def note_start(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _completed(message.get("headers", ()), request_id)
            await send(message)

        # RFC 9110 section 9.3.2: HEAD is GET whose body stays here, which is the server's part: it keeps its own scope.
        asked = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        try:
            await self._inner(asked, receive, note_start)
        except ClientDisconnect:
            state["code"] = "disconnected"
        except Exception as error:  # the last net: the contract knows no 5xx but 503
            logs.unexpected("control", error)
            if status == 0:
                await answer_with(render(unforeseen(), request_id, zh=state["zh"]), note_start)
                state["code"] = unforeseen().code
        parts = getattr(asked["app"].state, "parts", None) if "app" in asked else None
        if parts is not None:
            parts.meters.add(meters.KIND_CONTROL)
        _log({**asked, "method": scope["method"]}, state, status, time.perf_counter_ns() - began)


def _completed(headers: object, request_id: str) -> list[Header]:
    found: list[Header] = list(headers)  # type: ignore[call-overload]
    names = {name.lower() for name, _ in found}
    if b"request-id" not in names:
        found.append((b"request-id", request_id.encode("ascii")))
    if b"cache-control" not in names:
        found.append((b"cache-control", b"no-store"))
    return found


def unforeseen() -> Problem:
    """For a write this says the truth: what became of it is not known, and asking again with the same key is safe."""
    return Problem("ledger_unavailable")


def _log(scope: Scope, state: dict[str, object], status: int, took_ns: int) -> None:
    route = getattr(scope.get("route"), "path", None)
    if route in _QUIET:
        return
    key = state.get("key")
    method = scope["method"]
    logs.line(
        "request",
        request_id=state["request_id"],
        method=method if method in METHODS else "other",
        route=route or "none",
        status=status,
        code=state.get("code"),
        ms=round(took_ns / 1e6, 2),
        key_id=getattr(key, "id", None),
        org=getattr(key, "org", None),
        operator=getattr(key, "operator", None),
    )


class OnlyPost:
    """Stands at an address behind the route that answers POST there, lest a route with a parameter takes it for its."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise Problem("method_not_allowed", headers=[(b"allow", b"POST")])


def install(app: FastAPI) -> None:
    """Every way in which the framework refuses gives a problem of ours."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(Refused, _problem)
    app.add_exception_handler(LedgerError, _problem)
    app.add_exception_handler(HTTPException, _problem)
    app.add_exception_handler(RequestValidationError, _problem)
    # Without this the framework answers 500 itself before it lets go of the error, and the net above comes too late.
    app.add_exception_handler(Exception, _problem)


async def _problem(request: Request, error: Exception) -> Response:
    problem = as_problem(error)
    state = request.scope["state"]
    state["code"] = problem.code
    parts = getattr(request.app.state, "parts", None)
    if parts is not None:
        parts.meters.add(meters.CODE_WORD[problem.code])
    return respond(render(problem, state["request_id"], zh=state["zh"]))


def as_problem(error: Exception) -> Problem:
    """Foreign errors, translated where they reach the edge."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, Refused):
        return Problem(error.code)
    if isinstance(error, HTTPException):
        if error.status_code == 405:
            allow = (error.headers or {}).get("Allow", "")
            if "GET" in allow:
                allow += ", HEAD"
            return Problem("method_not_allowed", headers=[(b"allow", allow.encode("latin-1"))])
        return Problem("not_found")
    if isinstance(error, RequestValidationError):
        return Problem("not_found")  # bodies are read by our own hand: only a path or query can be meant
    if isinstance(error, LedgerFault):
        logs.unexpected("control", error)
    return unforeseen()


def respond(answer: Answer) -> Response:
    """An answer of ours as the framework sends it."""
    response = Response(content=answer.body, status_code=answer.status)
    response.raw_headers = answer.headers
    return response
