"""The one flow of a call, without I/O: `Client` and `AsyncClient` only drive it.

A flow is a generator. It yields `Send` and gets a `Reply` (or has `LineBroken` thrown in), yields `Pause` and gets
None, and returns its result. Retries, deadlines, the budget and the age of an answer are decided here and nowhere else.

What must hold: an answer is handed out only while ``fresh_for_ms``, counted from *before* its request was sent, has not
passed (promise G2); a write is repeated only under its idempotency key; no call takes longer than its deadline.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from lostid_client.errors import LostidError, NoAnswer, UnknownOutcome, refusal

T = TypeVar("T")
Clock = Callable[[], float]

CHECK_DEADLINE_S = 1.5
WRITE_DEADLINE_S = 10.0
_PAUSE_S = (0.02, 0.1)
_LEAST_TIME_S = 0.02


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as the body of a request, read while it is sent. ``progress`` hears (bytes sent, bytes in all)."""

    path: Path
    media: str
    progress: Callable[[int, int], None] | None = None


@dataclass(frozen=True, slots=True)
class Send:
    """A request to put on the line; ``timeout_s`` is all the time that is left for it, or with an ``upload``, which may
    take hours, the longest silence. ``received``: gets what comes of the answer, also where the line breaks."""

    method: str
    path: str
    body: Mapping[str, Any] | None
    headers: Mapping[str, str]
    timeout_s: float
    params: Mapping[str, str] | None = None
    upload: Upload | None = None
    received: bytearray | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Time to let pass before the next attempt."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Call:
    """The caller's own function. What it returns is awaited where the driver can; what it raises is thrown in."""

    run: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back; ``body`` is the decoded JSON object, or an empty one where there was none."""

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    content: bytes = field(default=b"", repr=False)


class LineBroken(Exception):
    """Thrown into a flow by its driver: no reply came. ``cause`` is "unreachable" or "timeout"."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


Step = Send | Pause | Call
Flow = Generator[Send | Pause, Reply | None, T]
Work = Generator[Step, Reply | None, T]
"""A flow that may also call its caller. The drivers run these, and so every `Flow`."""


@dataclass(slots=True)
class RetryBudget:
    """At most one retry in ``per`` calls over time, with a small reserve: retries must not make an outage worse."""

    per: float = 10.0
    reserve: float = 5.0
    _tokens: float = field(default=5.0)

    def earn(self) -> None:
        """Count a call."""
        self._tokens = min(self.reserve, self._tokens + 1.0 / self.per)

    def spend(self) -> bool:
        """Take one retry out of the budget; False where none is left."""
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


@dataclass(frozen=True, slots=True)
class Fresh:
    """A reply that may be acted on until ``expires`` (the client's clock, seconds)."""

    reply: Reply
    expires: float


def check_flow(
    path: str, body: Mapping[str, Any], clock: Clock, budget: RetryBudget, deadline_s: float = CHECK_DEADLINE_S
) -> Flow[Fresh]:
    """One check or batch: a fresh reply, or `NoAnswer`.

    Raises:
        NoAnswer: no reply came in time, or none that is still fresh.
        Refused: the request is wrong or not allowed.
    """
    budget.earn()
    deadline = clock() + deadline_s
    retried = False
    while True:
        sent = clock()  # before the request leaves: the age is counted from here
        wait: float | None = None
        try:
            reply = yield Send("POST", path, body, {}, deadline - sent)
            assert reply is not None  # noqa: S101 -- the drivers' contract: a Send is answered by a Reply
            now = clock()
            if reply.status == 200:
                expires = sent + _milliseconds(reply.body.get("fresh_for_ms")) / 1000.0
                if now < expires:
                    return Fresh(reply, expires)
                cause = "stale"
            elif may_retry(reply.status):
                cause, wait = code_of(reply), retry_after(reply)
            else:
                raise refusal(reply.status, reply.body)
        except LineBroken as broken:
            cause = broken.cause
        pause = jitter() if wait is None else wait
        if retried or clock() + pause + _LEAST_TIME_S >= deadline or not budget.spend():
            raise NoAnswer(cause)
        retried = True
        yield Pause(pause)


def write_flow(
    path: str, body: Mapping[str, Any], idempotency_key: str, clock: Clock, budget: RetryBudget
) -> Flow[Reply]:
    """One write under its idempotency key: the reply of the one time that it happened.

    Raises:
        UnknownOutcome: it may have happened; the same key repeats it safely.
        NoAnswer: it did not happen (429, or 503 before anything was recorded).
        Refused: the request is wrong or not allowed.
    """
    budget.earn()
    deadline = clock() + WRITE_DEADLINE_S
    retried = in_doubt = False
    while True:
        wait: float | None = None
        try:
            reply = yield Send("POST", path, body, {"Idempotency-Key": idempotency_key}, deadline - clock())
            assert reply is not None  # noqa: S101
            if reply.status < 300:
                return reply
            if not may_retry(reply.status) and code_of(reply) != "idempotency_key_in_use":
                raise refusal(reply.status, reply.body)
            cause, wait = code_of(reply), retry_after(reply)
            in_doubt = in_doubt or code_of(reply) not in _SURELY_NOT_RECORDED
        except LineBroken as broken:
            cause, in_doubt = broken.cause, True
        pause = jitter() if wait is None else wait
        # A write that is in doubt has to be asked for again: it does not need the budget's leave.
        out_of_time = clock() + pause + _LEAST_TIME_S >= deadline
        if out_of_time or (retried and not in_doubt) or not (in_doubt or budget.spend()):
            raise UnknownOutcome(idempotency_key, cause) if in_doubt else NoAnswer(cause)
        retried = True
        yield Pause(pause)


def read_flow(
    method: str, path: str, body: Mapping[str, Any] | None, params: Mapping[str, str] | None, clock: Clock
) -> Flow[Reply]:
    """A call that changes nothing and whose answer does not age; one retry.

    Raises:
        NoAnswer: no reply came in time.
        Refused: the request is wrong or not allowed.
    """
    deadline = clock() + WRITE_DEADLINE_S
    for attempt in (1, 2):
        wait: float | None = None
        try:
            reply = yield Send(method, path, body, {}, deadline - clock(), params)
            assert reply is not None  # noqa: S101
            if reply.status < 300:
                return reply
            if not may_retry(reply.status):
                raise refusal(reply.status, reply.body)
            cause, wait = code_of(reply), retry_after(reply)
        except LineBroken as broken:
            cause = broken.cause
        pause = jitter() if wait is None else wait
        if attempt == 2 or clock() + pause + _LEAST_TIME_S >= deadline:
            raise NoAnswer(cause)
        yield Pause(pause)
    raise LostidError("unreachable")


# Codes of 429 and 503 with which nothing was written (contract, table of codes).
_SURELY_NOT_RECORDED = frozenset({"rate_limited", "overloaded", "starting"})


def jitter() -> float:
    """Seconds to wait before a retry where the server does not say."""
    return random.uniform(*_PAUSE_S)  # noqa: S311 -- not a secret


def may_retry(status: int) -> bool:
    """Whether the same request may be answered later."""
    return status == 429 or status >= 500


def code_of(reply: Reply) -> str:
    """The problem's code, or the status of an answer that has none."""
    return str(reply.body.get("code", f"http_{reply.status}"))


def retry_after(reply: Reply) -> float | None:
    """Seconds to leave the server alone; only the delay form is used by the service (RFC 9110 section 10.2.3)."""
    text = {name.lower(): value for name, value in reply.headers.items()}.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else None


def _milliseconds(value: object) -> float:
    """0 for whatever is not a number: an answer that does not say how long it is good for is good for nothing."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0.0
