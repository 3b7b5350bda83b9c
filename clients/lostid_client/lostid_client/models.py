"""Typed documents and answers. Fields that a newer server adds are kept in ``raw``; they break nothing.

``status``, ``advice``, ``reason`` and ``state`` are open lists. A status that this version does not know is not clear,
and an advice that it does not know is refuse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

CLEAR = "clear"
KNOWN_ADVICE = frozenset({"proceed", "refuse", "provide_instance", "check_at_gate", "ask_person"})


@dataclass(frozen=True, slots=True)
class Document:
    """What is printed on the card. Only the fields of its type are given; ``repr`` never shows the number."""

    type: str
    number: str = field(repr=False)
    issuing_state: str | None = None
    valid_from: str | None = None
    valid_until: str | None = None
    issue_no: int | None = None
    card_serial: str | None = field(default=None, repr=False)

    def json(self) -> dict[str, Any]:
        """The request's form, without what was not given."""
        values = {
            "type": self.type,
            "number": self.number,
            "issuing_state": self.issuing_state,
            "valid_from": self.valid_from,
            "valid_until": self.valid_until,
            "issue_no": self.issue_no,
            "card_serial": self.card_serial,
        }
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Answer:
    """A check's answer, already measured against ``fresh_for_ms``.

    ``expires`` is on the client's own clock (``Client.clock``, seconds): nobody may act on the answer after it.
    ``answered`` is False where the policy stands in for a missing answer; ``status`` is then ``unavailable``.
    ``receipt`` is kept together with ``receipt_salt``, which ties it to the card: without it nobody can show which card
    was meant. The answers of one batch share both.
    """

    status: str
    advice: str
    expires: float
    id: str | None = None
    as_of: str | None = None
    seq: int | None = None
    needs: tuple[str, ...] = ()
    reason: str | None = None
    effective_at: str | None = None
    receipt: str | None = None
    receipt_salt: str | None = None
    reference: str | None = None
    error: str | None = None
    answered: bool = True
    recheck_id: int | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def clear(self) -> bool:
        """Whether the registry said, in time, that nothing is in force against this card."""
        return self.answered and self.status == CLEAR

    @property
    def proceed(self) -> bool:
        """Whether the clerk may go on: never for an unknown status or advice."""
        return self.advice == "proceed"


def read_answer(body: Mapping[str, Any], expires: float) -> Answer:
    """Build an ``Answer`` from the body of ``POST /v1/checks`` or one item of a batch."""
    error = body.get("error")
    if isinstance(error, dict):
        code = str(error.get("code", "unknown"))
        return Answer("refused_number", "refuse", expires, reference=_text(body, "reference"), error=code, raw=body)
    status = str(body.get("status", "unknown"))
    return Answer(
        status=status,
        advice=safe_advice(status, body.get("advice")),
        expires=expires,
        id=_text(body, "id"),
        as_of=_text(body, "as_of"),
        seq=body.get("seq"),
        needs=tuple(body.get("needs", ())),
        reason=_text(body, "reason"),
        effective_at=_text(body, "effective_at"),
        receipt=_text(body, "receipt"),
        receipt_salt=_text(body, "receipt_salt"),
        reference=_text(body, "reference"),
        raw=body,
    )


def safe_advice(status: str, advice: object) -> str:
    """The advice to follow: proceed only for clear, and refuse for whatever this version does not know."""
    if advice not in KNOWN_ADVICE or (advice == "proceed" and status != CLEAR):
        return "refuse"
    return str(advice)


@dataclass(frozen=True, slots=True)
class Report:
    """A report as the registry holds it; ``receipt`` proves when it took effect."""

    id: str
    state: str
    seq: int | None
    covers: Mapping[str, Any]
    recorded_at: str | None
    in_force_at: str | None
    receipt: str | None
    idempotency_key: str
    raw: Mapping[str, Any] = field(repr=False, compare=False)


def read_report(body: Mapping[str, Any], idempotency_key: str) -> Report:
    """Build a ``Report`` from the body of ``POST /v1/reports``."""
    return Report(
        id=str(body["id"]),
        state=str(body.get("state", "unknown")),
        seq=body.get("seq"),
        covers=body.get("covers") or {},
        recorded_at=_text(body, "recorded_at"),
        in_force_at=_text(body, "in_force_at"),
        receipt=_text(body, "receipt"),
        idempotency_key=idempotency_key,
        raw=body,
    )


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A request to take a report back, and how it was decided."""

    id: str
    state: str
    expires_at: str | None
    seq: int | None
    decided_at: str | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)


def read_withdrawal(body: Mapping[str, Any]) -> Withdrawal:
    """Build a ``Withdrawal`` from any answer about one."""
    return Withdrawal(
        id=str(body["id"]),
        state=str(body.get("state", "unknown")),
        expires_at=_text(body, "expires_at"),
        seq=body.get("seq"),
        decided_at=_text(body, "decided_at"),
        raw=body,
    )


def document_of(document: Document | Mapping[str, Any]) -> dict[str, Any]:
    """The request's form of a ``Document`` or of a mapping that has it already."""
    return document.json() if isinstance(document, Document) else dict(document)


def checks_of(documents: Sequence[Document | Mapping[str, Any]], references: Sequence[str | None] | None) -> list[Any]:
    """The items of a batch, each with its reference where one is given."""
    if references is not None and len(references) != len(documents):
        raise ValueError("as many references as documents")
    items: list[Any] = [{"document": document_of(document)} for document in documents]
    for item, reference in zip(items, references or [], strict=False):
        if reference is not None:
            item["reference"] = reference
    return items


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    return None if value is None else str(value)
