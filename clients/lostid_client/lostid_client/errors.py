"""What can go wrong, as a caller would handle it.

LostidError
 ├── NoAnswer              nothing that may be acted on: unreachable, too late, 429, 503
 ├── Refused               the server understood and said no: a problem with its code
 │    ├── NotAuthorised    401, 403
 │    ├── Conflict         409
 │    └── InvalidRequest   400, 404, 405, 413, 415, 422
 ├── UnknownOutcome        a write that may or may not have happened: ask again with the same idempotency key
 ├── ImportBroken          a file that was not sent to its end: go on with its import's id
 ├── ReceiptRefused        a receipt that does not prove what it is said to prove
 └── MirrorRefused         a snapshot or statement that a mirror must not go by
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class LostidError(Exception):
    """Anything this library raises."""


class NoAnswer(LostidError):
    """There is no answer that may be acted on. It is never permission.

    ``cause``: unreachable, timeout, stale (it arrived later than ``fresh_for_ms`` allows), or the problem's code.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(f"no answer: {cause}")
        self.cause = cause


class UnknownOutcome(LostidError):
    """The line broke while a write was under way. Repeat it with ``idempotency_key``: it then happens once."""

    def __init__(self, idempotency_key: str, cause: str) -> None:
        super().__init__(f"not known whether it was recorded ({cause}); repeat it with the same idempotency key")
        self.idempotency_key = idempotency_key
        self.cause = cause


class ImportBroken(LostidError):
    """The line broke while rows were sent. Nothing of them is in force; ``import_id`` goes on with the same file."""

    def __init__(self, import_id: str, cause: str) -> None:
        super().__init__(f"the rows of {import_id} were not sent to their end: {cause}")
        self.import_id = import_id
        self.cause = cause


class ReceiptRefused(LostidError):
    """The receipt is malformed, of another kind, or not signed by a key of the registry."""


class MirrorRefused(LostidError):
    """What came for a mirror is not signed by the registry, not whole, too old, or another mirror's."""


@dataclass(frozen=True, slots=True)
class FieldFault:
    """One fault of a 422: where it is (JSON pointer) and its code."""

    pointer: str
    code: str


class Refused(LostidError):
    """A problem (RFC 9457): ``status``, ``code``, ``request_id``, and for 422 ``faults``."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.code = str(problem.get("code", "unknown"))
        self.request_id = problem.get("request_id")
        self.faults = tuple(_faults(problem.get("errors")))
        detail = ", ".join(f"{fault.pointer}: {fault.code}" for fault in self.faults)
        super().__init__(f"{status} {self.code}" + (f" ({detail})" if detail else ""))


class NotAuthorised(Refused):
    """401 or 403: the key is missing, unknown, revoked, or may not do this."""


class Conflict(Refused):
    """409: the idempotency key is in use, or the withdrawal is no longer pending."""


class InvalidRequest(Refused):
    """The request can never succeed as it is."""


def refusal(status: int, problem: Mapping[str, Any]) -> Refused:
    """The error for a problem that is not one of those that ``NoAnswer`` stands for."""
    if status in (401, 403):
        return NotAuthorised(status, problem)
    return Conflict(status, problem) if status == 409 else InvalidRequest(status, problem)


def _faults(errors: object) -> list[FieldFault]:
    if not isinstance(errors, list):
        return []
    return [FieldFault(str(e.get("pointer", "")), str(e.get("code", ""))) for e in errors if isinstance(e, dict)]
