"""Withdrawals, from what was sent to the answer. Whoever is refused here with 403, 404 or 409 leaves a line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NoReturn

from fastapi import Request
from pydantic import MISSING

from lostid.api import ids
from lostid.api.admission import Sent, caller
from lostid.api.clock import now_ms
from lostid.api.models import WithdrawalDecision, WithdrawalRequest
from lostid.api.parts import Parts, parts_of
from lostid.api.problems import Problem
from lostid.api.writing import Proved, Receipt, prove, to_its_end
from lostid.domain.withdrawal import AWAITING, NEXT, Actor, Cap, Caps, Denied, Event
from lostid.ledger import withdrawals, withdrawing, writes
from lostid.ledger.apikeys import ApiKey
from lostid.ledger.withdrawing import Ask, Attempt, Decide
from lostid.ledger.writes import InForce, Outcome, WriteKey
from lostid.settings import Settings

ACCEPTED = 202
DECIDED = 200


@dataclass(frozen=True, slots=True)
class Admitted:
    """A key with a role for what it tries, and the attempt as the ledger would note it."""

    key: ApiKey
    attempt: Attempt


def actor_of(key: ApiKey) -> Actor:
    return Actor(key.id, key.env, key.org, key.station or "", key.operator or "", key.roles)


def attempting(act: str, *roles: str) -> Any:
    """A dependency: the caller, who has one of the roles; a caller who has none leaves a line in the ledger."""
    admit = caller(*roles)

    async def admitted(request: Request) -> Admitted:
        try:
            await admit(request)
        except Problem as problem:
            key = request.scope["state"].get("key")
            if problem.code != "role_missing" or key is None:
                raise
            await refuse(parts_of(request), _attempt(key, act, request.path_params), problem.code)
        key = request.scope["state"]["key"]
        return Admitted(key, _attempt(key, act, request.path_params))

    return admitted


def _attempt(key: ApiKey, act: str, path: dict[str, str]) -> Attempt:
    report_id, withdrawal_id = path.get("report_id", ""), path.get("withdrawal_id", "")
    return Attempt(
        actor_of(key),
        act,
        report_id if ids.REPORT_ID.fullmatch(report_id) else None,
        withdrawal_id if ids.WITHDRAWAL_ID.fullmatch(withdrawal_id) else None,
    )


async def refuse(parts: Parts, attempt: Attempt, code: str) -> NoReturn:
    """The line first, then the refusal: where the ledger cannot be reached, nobody is told anything else."""
    await parts.reports_pool.write(withdrawing.attempted, attempt, code)
    raise Problem(code)


def caps_of(settings: Settings) -> Caps:
    return Caps(
        Cap(settings.withdrawals_a_day, settings.withdrawals_in_30_days),
        Cap(settings.returned_a_day, settings.returned_in_30_days),
    )


async def ask(parts: Parts, who: Admitted, asked: Sent[WithdrawalRequest], idempotency_key: str) -> Receipt:
    """Put a withdrawal before a second person. Raises Problem, LedgerError."""
    if asked.body.operator != who.key.operator:
        await refuse(parts, who.attempt, "operator_mismatch")
    write = _write_key(parts, who.key, asked.canonical, idempotency_key)
    new = Ask(who.attempt, parts.ids.new("wdr_", now_ms()), asked.body.grounds, asked.body.evidence)
    caps = caps_of(parts.settings)

    async def story() -> Receipt:
        outcome = told(await parts.reports_pool.write(lambda conn: withdrawing.ask(conn, write, new, caps)))
        return await prove(parts, write, new.new_id, outcome, ACCEPTED, lambda proved: pending_answer(parts, proved))

    with parts.report_room.place():
        return await to_its_end(story())


async def decide(
    parts: Parts, who: Admitted, event: Event, asked: Sent[WithdrawalDecision], idempotency_key: str
) -> Receipt:
    """Approve or refuse. An approval is answered once no host can still answer from before it."""
    body = asked.body
    if body.operator is not MISSING and body.operator != who.key.operator:
        await refuse(parts, who.attempt, "operator_mismatch")
    write = _write_key(parts, who.key, asked.canonical, idempotency_key)
    report_id = None if body.report_id is MISSING else body.report_id
    grounds = None if body.grounds is MISSING else body.grounds
    decision = Decide(who.attempt, event, report_id, grounds)

    async def answer(proved: Proved) -> tuple[bytes, InForce | None]:
        decided_at = parts.clock.text(proved.appended.recorded_ms)
        state = NEXT[AWAITING, event]
        return _json({"id": proved.id, "state": state, "seq": proved.appended.seq, "decided_at": decided_at}), None

    async def story() -> Receipt:
        outcome = told(await parts.reports_pool.write(lambda conn: withdrawing.decide(conn, write, decision)))
        return await prove(parts, write, who.attempt.withdrawal_id or "", outcome, DECIDED, answer)

    with parts.report_room.place():
        return await to_its_end(story())


async def pending_answer(parts: Parts, proved: Proved) -> tuple[bytes, InForce | None]:
    """What was asked for, and until when somebody may decide it."""
    row = await parts.reports_pool.read(withdrawals.get, proved.id)
    if row is None:
        raise Problem("ledger_unavailable")
    return _json({"id": row.id, "state": AWAITING, "expires_at": parts.clock.text(row.expires_ms)}), None


def told(outcome: Outcome | Denied) -> Outcome:
    """Raises the refusal, whose line is in the ledger by now."""
    if isinstance(outcome, Denied):
        raise Problem(outcome.code)
    return outcome


def _write_key(parts: Parts, key: ApiKey, canonical: bytes, idempotency_key: str) -> WriteKey:
    return writes.write_key(parts.keyring.fingerprint_key, key.env, key.org, idempotency_key, canonical)


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
