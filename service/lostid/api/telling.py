"""Answers to checks, written down: JSON by hand, because every part is known to need no escaping."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from lostid.api.clock import Clock
from lostid.api.problems import Header
from lostid.domain import status as rule
from lostid.domain.canonical import Canonical
from lostid.domain.errors import Refusal
from lostid.domain.position import Position
from lostid.ledger.apikeys import ApiKey


class Ask(NamedTuple):
    """Who asks, for what, since when, and what the answer rests on."""

    key: ApiKey
    operator: str
    purpose: str
    request_id: str
    started_ns: int
    until_ns: int  # L
    as_of_ms: int
    seq: int
    limits: tuple[Header, ...]
    at: Position | None = None  # where the filter stood, for those who want a receipt


class Proof(NamedTuple):
    """A receipt, and the salt that ties it to its documents."""

    receipt: str
    salt: bytes


def _proof(proof: Proof) -> str:
    return f',"receipt":"{proof.receipt}","receipt_salt":"{proof.salt.hex()}"'


@cache
def _middle(status: str, type_: str, purpose: str) -> str:
    """`"status":...,"advice":...` and `needs`: few values, each written once."""
    told: dict[str, object] = {"status": status, "advice": rule.advice(status, purpose)}
    if status == rule.INDETERMINATE:
        told["needs"] = rule.needs(type_)
    return json.dumps(told, separators=(",", ":"))[1:-1]


@cache
def _plain_item(status: str, type_: str, purpose: str) -> str:
    return f"{{{_middle(status, type_, purpose)}}}"


def _extras(document: Canonical, because: tuple[str, str] | None, reference: str | None = None) -> str:
    text = ""
    if because is not None:
        text = f',"reason":"{because[0]}","effective_at":"{because[1]}"'
    if document.notices:
        text += f',"notices":{json.dumps(document.notices, separators=(",", ":"))}'
    if reference is not None:
        text += f',"reference":"{reference}"'
    return text


def single_json(
    id_: str,
    ask: Ask,
    clock: Clock,
    fresh_ms: int,
    status: str,
    document: Canonical,
    because: tuple[str, str] | None,
    proof: Proof | None,
) -> str:
    """`because` is reason and effective_at, for keys that are told; `proof` the receipt, for who asked for one."""
    as_of = ask.as_of_ms
    extras = _extras(document, because) if because is not None or document.notices else ""
    if proof is not None:
        extras += _proof(proof)
    return (
        f'{{"id":"{id_}",{_middle(status, document.type, ask.purpose)},"as_of":"{clock.text(as_of)}",'
        f'"fresh_until":"{clock.text(as_of + fresh_ms)}","fresh_for_ms":{fresh_ms},"seq":{ask.seq}{extras}}}'
    )


def batch_json(id_: str, ask: Ask, clock: Clock, fresh_ms: int, items: Sequence[str], proof: Proof | None) -> str:
    as_of = ask.as_of_ms
    extras = "" if proof is None else _proof(proof)
    return (
        f'{{"id":"{id_}","as_of":"{clock.text(as_of)}","fresh_until":"{clock.text(as_of + fresh_ms)}",'
        f'"fresh_for_ms":{fresh_ms},"seq":{ask.seq}{extras},"results":[{",".join(items)}]}}'
    )


def item_json(
    status: str, document: Canonical, purpose: str, reference: str | None, because: tuple[str, str] | None
) -> str:
    if because is None and reference is None and not document.notices:
        return _plain_item(status, document.type, purpose)
    return f"{{{_middle(status, document.type, purpose)}{_extras(document, because, reference)}}}"


def refused_item_json(refusal: Refusal, place: int, reference: str | None) -> str:
    error = {"code": refusal.code, "pointer": refusal.within(f"/checks/{place}/document")}
    if refusal.expected is not None:
        error["expected"] = refusal.expected
    told: dict[str, object] = {"error": error}
    if reference is not None:
        told["reference"] = reference
    return json.dumps(told, separators=(",", ":"))
