"""The calls of the registry as flows: what is sent, and what the answer is read into. The clients run them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lostid_client.errors import NoAnswer
from lostid_client.flow import CHECK_DEADLINE_S, Clock, Flow, RetryBudget, check_flow, read_flow, write_flow
from lostid_client.models import (
    Answer,
    Document,
    Report,
    Withdrawal,
    checks_of,
    document_of,
    read_answer,
    read_report,
    read_withdrawal,
)
from lostid_client.recheck import RecheckQueue

OnUnavailable = Literal["refuse", "ask_person", "proceed_and_recheck"]
AnyDocument = Document | Mapping[str, Any]

_OF_THE_BATCH = ("id", "as_of", "seq", "receipt", "receipt_salt")
_POLICY_ADVICE = {"refuse": "refuse", "ask_person": "ask_person", "proceed_and_recheck": "proceed"}


@dataclass(slots=True)
class Session:
    """What the calls of one client share."""

    on_unavailable: OnUnavailable
    clock: Clock
    queue: RecheckQueue | None = None
    check_deadline_s: float = CHECK_DEADLINE_S
    budget: RetryBudget = field(default_factory=RetryBudget)


def check(
    session: Session,
    document: AnyDocument,
    *,
    operator: str,
    purpose: str,
    reference: str | None = None,
    receipt: bool = False,
) -> Flow[Answer]:
    """Ask whether anything is in force against this card.

    Where there is no answer the client's ``on_unavailable`` decides; the returned answer then has ``answered`` False.

    Raises:
        Refused: the request is wrong (a refused number: ``InvalidRequest`` with its named fault) or not allowed.
    """
    body = {"document": document_of(document), **_who(operator, purpose, receipt)}
    if reference is not None:
        body["reference"] = reference
    try:
        fresh = yield from check_flow("/v1/checks", body, session.clock, session.budget, session.check_deadline_s)
    except NoAnswer as missing:
        return _without_answer(session, body, missing.cause)
    return read_answer(fresh.reply.body, fresh.expires)


def check_many(
    session: Session,
    documents: Sequence[AnyDocument],
    *,
    operator: str,
    purpose: str,
    references: Sequence[str | None] | None = None,
    receipt: bool = False,
) -> Flow[list[Answer]]:
    """Ask about up to 1,000 documents at once; answers in the order of ``documents``.

    A refused number refuses only its item: its answer has ``error`` set and advice refuse. Where there is no answer the
    client's ``on_unavailable`` decides for each document.

    Raises:
        Refused: the batch as a whole is wrong or not allowed.
    """
    who = {"operator": operator, "purpose": purpose}
    try:
        return (yield from ask_many(session, documents, **who, references=references, receipt=receipt))
    except NoAnswer as missing:
        items = checks_of(documents, references)
        return [_without_answer(session, {**who, **item}, missing.cause) for item in items]


def ask_many(
    session: Session,
    documents: Sequence[AnyDocument],
    *,
    operator: str,
    purpose: str,
    references: Sequence[str | None] | None = None,
    receipt: bool = False,
) -> Flow[list[Answer]]:
    """As `check_many`, but a missing answer is always ``NoAnswer``, whatever ``on_unavailable`` says."""
    items = checks_of(documents, references)
    body = {**_who(operator, purpose, receipt), "checks": items}
    fresh = yield from check_flow("/v1/checks/batch", body, session.clock, session.budget, session.check_deadline_s)
    results = fresh.reply.body.get("results")
    if not isinstance(results, list) or len(results) != len(items):
        raise NoAnswer("malformed")
    shared = {name: fresh.reply.body[name] for name in _OF_THE_BATCH if name in fresh.reply.body}
    return [read_answer({**shared, **result}, fresh.expires) for result in results]


def report(
    session: Session,
    document: AnyDocument,
    *,
    reason: str,
    operator: str,
    case_number: str,
    effective_at: str | None = None,
    replaced_by: Mapping[str, Any] | None = None,
    also_known_as: Sequence[Mapping[str, Any]] | None = None,
    idempotency_key: str | None = None,
) -> Flow[Report]:
    """Report a card. When this returns, no desk anywhere is told that it is clear (promise G1).

    Without ``idempotency_key`` one is made; it is in the result, and in ``UnknownOutcome`` where the line broke.

    Raises:
        UnknownOutcome: repeat the call with the key that the exception carries.
        NoAnswer: nothing was recorded; try again later.
        Refused: the report is wrong or not allowed.
    """
    key = idempotency_key or secrets.token_urlsafe(24)
    optional = {"effective_at": effective_at, "replaced_by": replaced_by, "also_known_as": also_known_as}
    body = {
        "document": document_of(document),
        "reason": reason,
        "operator": operator,
        "case_number": case_number,
        **{name: value for name, value in optional.items() if value is not None},
    }
    reply = yield from write_flow("/v1/reports", body, key, session.clock, session.budget)
    return read_report(reply.body, key)


def withdraw(
    session: Session,
    report_id: str,
    *,
    operator: str,
    grounds: str,
    evidence: str,
    idempotency_key: str | None = None,
) -> Flow[Withdrawal]:
    """Ask for a report to be withdrawn; a second person has to approve it.

    Raises:
        UnknownOutcome: repeat the call with the key that the exception carries.
        NoAnswer: nothing was recorded; try again later.
        Refused: not allowed, or there is no such report.
    """
    body = {"operator": operator, "grounds": grounds, "evidence": evidence}
    key = idempotency_key or secrets.token_urlsafe(24)
    reply = yield from write_flow(f"/v1/reports/{report_id}/withdrawal", body, key, session.clock, session.budget)
    return read_withdrawal(reply.body)


def approve(
    session: Session, withdrawal_id: str, *, operator: str, idempotency_key: str | None = None
) -> Flow[Withdrawal]:
    """Approve somebody else's withdrawal request.

    Raises:
        Refused: same person or station, overtaken, expired, or not pending.
        UnknownOutcome: repeat the call with the key that the exception carries.
    """
    key = idempotency_key or secrets.token_urlsafe(24)
    path = f"/v1/withdrawals/{withdrawal_id}/approve"
    reply = yield from write_flow(path, {"operator": operator}, key, session.clock, session.budget)
    return read_withdrawal(reply.body)


def history(session: Session, document: AnyDocument, *, operator: str, case_number: str) -> Flow[list[dict[str, Any]]]:
    """Every entry about a document, oldest first (journalled, and limited per operator and day).

    Raises:
        Refused: not allowed, or the daily limit is reached.
        NoAnswer: no reply in time.
    """
    body: dict[str, Any] = {"document": document_of(document), "operator": operator, "case_number": case_number}
    entries: list[dict[str, Any]] = []
    while True:
        reply = yield from read_flow("POST", "/v1/reports/history", body, None, session.clock)
        entries.extend(reply.body.get("entries", []))
        cursor = reply.body.get("next_cursor")
        if not cursor:
            return entries
        body["cursor"] = cursor


def as_of(
    session: Session, document: AnyDocument, *, at: str, operator: str, case_number: str
) -> Flow[Mapping[str, Any]]:
    """What a check at instant ``at`` was told, and what today's ledger says was so then.

    Raises:
        Refused: not allowed.
        NoAnswer: no reply in time.
    """
    body = {"document": document_of(document), "at": at, "operator": operator, "case_number": case_number}
    reply = yield from read_flow("POST", "/v1/checks/as-of", body, None, session.clock)
    return reply.body


def jwks(session: Session) -> Flow[Mapping[str, Any]]:
    """The public keys that verify receipts, retired ones included."""
    reply = yield from read_flow("GET", "/.well-known/jwks.json", None, None, session.clock)
    return reply.body


def _who(operator: str, purpose: str, receipt: bool) -> dict[str, Any]:
    return {"operator": operator, "purpose": purpose, **({"receipt": True} if receipt else {})}


def _without_answer(session: Session, body: Mapping[str, Any], cause: str) -> Answer:
    """The policy's stand-in. Only ``proceed_and_recheck`` says proceed, and only once the check is safely queued."""
    recheck_id = None
    if session.on_unavailable == "proceed_and_recheck":
        if session.queue is None:
            raise NoAnswer(cause)
        recheck_id = session.queue.put(body)
    return Answer(
        status="unavailable",
        advice=_POLICY_ADVICE[session.on_unavailable],
        expires=session.clock(),
        reference=body.get("reference"),
        error=cause,
        answered=False,
        recheck_id=recheck_id,
    )
