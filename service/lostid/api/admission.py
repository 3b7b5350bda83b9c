"""What stands before every handler of the control plane, in the order of the contract: 401, 403, 415, 413, 400, 422."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fastapi import Request
from pydantic import BaseModel

from lostid.api import ids
from lostid.api.body import LIMIT, is_json, strict_json
from lostid.api.models import validated
from lostid.api.parts import Parts, parts_of
from lostid.api.problems import Fault, Problem
from lostid.filter.page import Slot, boottime_ns
from lostid.ledger.apikeys import ApiKey

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Sent(Generic[M]):
    """A body that passed. `canonical` is what a repeat must equal: method, path, body with its keys sorted."""

    body: M
    canonical: bytes


def caller(*roles: str) -> Callable[[Request], Awaitable[ApiKey]]:
    """A dependency: the caller's key, which has one of the roles."""

    async def admitted(request: Request) -> ApiKey:
        parts = parts_of(request)
        await _current(parts)
        key = parts.keys.find(header(request, b"authorization"))
        request.scope["state"]["key"] = key
        if key.roles.isdisjoint(roles):
            raise Problem("role_missing")
        return key

    return admitted


async def _current(parts: Parts) -> None:
    """A revoked key is refused on this host as soon as its revocation has been receipted: the page's auth_seq says so
    while a lease vouches for it, and without a lease only the ledger can."""
    view, keys = parts.checks.view, parts.keys
    if view is None:
        await keys.reload()
        return
    until = view.slots[Slot.LEASE_UNTIL]
    demanded = view.page.gen(), view.page.auth_seq()
    if boottime_ns() >= until or not keys.loaded:
        await keys.reload()
    elif not keys.current(*demanded) and not await keys.refresh(*demanded):
        raise Problem("ledger_unavailable")


async def sent(request: Request, model: type[M]) -> Sent[M]:
    """The body. Raises Problem."""
    value = strict_json(await _read(request))
    return _passed(request, model, value)


async def sent_write(request: Request, model: type[M]) -> tuple[Sent[M], str]:
    """The body of a write, and its Idempotency-Key."""
    value = strict_json(await _read(request))
    key = idempotency_key(request)
    return _passed(request, model, value), key


async def sent_write_or_nothing(request: Request, model: type[M]) -> tuple[Sent[M], str]:
    """The same where the path says it all, and a body may be left away."""
    if (header(request, b"content-length") or b"0") == b"0" and header(request, b"transfer-encoding") is None:
        key = idempotency_key(request)
        return _passed(request, model, {}), key
    return await sent_write(request, model)


def idempotency_key(request: Request) -> str:
    key = header(request, b"idempotency-key")
    if key is None or ids.IDEMPOTENCY_KEY.fullmatch(key) is None:
        raise Problem("idempotency_key_missing")
    return key.decode("ascii")


def refuse_numbered(request: Request) -> None:
    """For requests without a body: the 422 that a Request-Id can earn."""
    if request.scope["state"]["numbered"]:
        raise Problem("invalid", [Fault("/headers/Request-Id", "contains_document_number")])


def _passed(request: Request, model: type[M], value: Any) -> Sent[M]:
    refuse_numbered(request)
    body = validated(model, value)
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return Sent(body, f"{request.method} {request.scope['path']}\n{canonical}".encode())


async def _read(request: Request) -> bytes:
    """415, 413. Nothing above the limit is kept."""
    if not is_json(header(request, b"content-type") or b"", header(request, b"content-encoding") or b""):
        raise Problem("media_type")
    announced = header(request, b"content-length") or b"0"
    if announced.isdigit() and int(announced[:12]) > LIMIT:
        raise Problem("body_too_large")
    parts = bytearray()
    async for part in request.stream():
        parts += part
        if len(parts) > LIMIT:
            raise Problem("body_too_large")
    return bytes(parts)


def header(request: Request, name: bytes) -> bytes | None:
    """None where it is missing. What may be there only once was refused before this where it came twice (`framing`).

    White space around a value is no part of it (RFC 9110 section 5.5), and the parser leaves what follows it."""
    value = dict(request.scope["headers"]).get(name)
    return None if value is None else value.strip(b" \t")
