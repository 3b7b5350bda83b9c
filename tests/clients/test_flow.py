"""The flow of a call, driven by hand: a clock that is turned, replies that are scripted, nothing on any line."""

from collections.abc import Iterable
from typing import Any

import pytest

from lostid_client import NoAnswer, Refused, UnknownOutcome
from lostid_client.flow import Flow, LineBroken, Pause, Reply, RetryBudget, Send, check_flow, write_flow
from lostid_client.models import read_answer, safe_advice

CLEAR = {"status": "clear", "advice": "proceed", "fresh_for_ms": 800}


class Line:
    """Scripted replies: each takes its seconds on the clock; an exception is thrown into the flow."""

    def __init__(self, *script: tuple[float, Reply | LineBroken]) -> None:
        self.now = 1000.0
        self.script = list(script)
        self.sent: list[Send] = []

    def clock(self) -> float:
        return self.now

    def run(self, flow: Flow[Any]) -> Any:
        try:
            step = next(flow)
            while True:
                if isinstance(step, Pause):
                    self.now += step.seconds
                    step = flow.send(None)
                    continue
                self.sent.append(step)
                takes, reply = self.script.pop(0)
                self.now += takes
                step = flow.throw(reply) if isinstance(reply, LineBroken) else flow.send(reply)
        except StopIteration as done:
            return done.value


def check(*script: tuple[float, Reply | LineBroken], budget: RetryBudget | None = None) -> tuple[Line, Any]:
    line = Line(*script)
    return line, line.run(check_flow("/v1/checks", {}, line.clock, budget or RetryBudget()))


def problem(status: int, code: str, **headers: str) -> Reply:
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, {"code": code})


def test_age_counts_from_before_the_request() -> None:
    """An answer expires ``fresh_for_ms`` after its request was sent, not after it arrived."""
    _, fresh = check((0.3, Reply(200, {}, CLEAR)))
    assert fresh.expires == pytest.approx(1000.8)


def test_stale_answer_is_discarded() -> None:
    """G2: a clear answer that took longer than it is good for is not handed out; the second attempt is."""
    line, fresh = check((0.9, Reply(200, {}, CLEAR)), (0.1, Reply(200, {}, CLEAR)))
    assert len(line.sent) == 2
    assert fresh.expires > line.now


def test_two_stale_answers() -> None:
    """When no answer arrives in time there is none."""
    with pytest.raises(NoAnswer, match="stale"):
        check(
            (0.6, Reply(200, {}, CLEAR | {"fresh_for_ms": 500})), (0.6, Reply(200, {}, CLEAR | {"fresh_for_ms": 500}))
        )


@pytest.mark.parametrize("fresh_for_ms", [None, "800", True, 0, -1])
def test_answer_without_age(fresh_for_ms: object) -> None:
    """An answer that does not say how long it is good for is good for nothing."""
    body = CLEAR | {"fresh_for_ms": fresh_for_ms}
    with pytest.raises(NoAnswer):
        check((0.0, Reply(200, {}, body)), (0.0, Reply(200, {}, body)))


def test_deadline_bounds_the_attempts() -> None:
    """A second attempt has only what is left of 1.5 s, and is not begun when nothing is left."""
    line, _ = check((0.5, LineBroken("unreachable")), (0.1, Reply(200, {}, CLEAR)))
    assert line.sent[0].timeout_s == pytest.approx(1.5)
    assert line.sent[1].timeout_s < 1.0
    with pytest.raises(NoAnswer, match="timeout"):
        check((1.5, LineBroken("timeout")))


def test_retry_after_is_obeyed() -> None:
    """The pause is the server's; one that does not fit into the deadline ends the call at once."""
    line, _ = check((0.0, problem(503, "starting", Retry_After="1")), (0.1, Reply(200, {}, CLEAR)))
    assert line.now == pytest.approx(1001.1)
    with pytest.raises(NoAnswer, match="rate_limited"):
        check((0.0, problem(429, "rate_limited", Retry_After="2")))


def test_refusals_are_not_retried() -> None:
    """A 4xx is the answer."""
    with pytest.raises(Refused) as refused:
        check((0.0, problem(422, "invalid")))
    assert refused.value.code == "invalid"


def test_retry_budget() -> None:
    """In a long outage retries are at most a tenth of the calls, after a small reserve."""
    budget = RetryBudget()
    attempts = 0
    for _ in range(200):
        line = Line((0.0, LineBroken("unreachable")), (0.0, LineBroken("unreachable")))
        with pytest.raises(NoAnswer):
            line.run(check_flow("/v1/checks", {}, line.clock, budget))
        attempts += len(line.sent)
    assert 200 + 20 <= attempts <= 200 + 25


def write(script: Iterable[tuple[float, Reply | LineBroken]]) -> tuple[Line, Any]:
    line = Line(*script)
    return line, line.run(write_flow("/v1/reports", {}, "key-1", line.clock, RetryBudget()))


def test_write_is_repeated_under_its_key() -> None:
    """Each attempt of a write carries the same idempotency key."""
    line, reply = write([(1.0, LineBroken("timeout")), (0.1, Reply(201, {}, {"id": "rpt_1"}))])
    assert reply.body == {"id": "rpt_1"}
    assert [send.headers["Idempotency-Key"] for send in line.sent] == ["key-1", "key-1"]


def test_not_yet_in_force_is_asked_again() -> None:
    """A recorded report whose effect is not yet proved is asked for until it is, within the deadline."""
    script = [(0.5, problem(503, "not_yet_in_force", Retry_After="1"))] * 4 + [(0.1, Reply(201, {}, {"id": "rpt_1"}))]
    line, reply = write(script)
    assert reply.status == 201
    assert len(line.sent) == 5


def test_unknown_outcome_gives_the_key() -> None:
    """When nobody knows whether it happened, the caller gets the key to repeat it with."""
    with pytest.raises(UnknownOutcome) as unknown:
        write([(9.99, LineBroken("timeout"))])
    assert unknown.value.idempotency_key == "key-1"


def test_surely_not_recorded() -> None:
    """429 and overload come before anything is written: that is no doubt, only no answer."""
    with pytest.raises(NoAnswer):
        write([(0.0, problem(503, "overloaded", Retry_After="1"))] * 2)


def test_unknown_words_never_permit() -> None:
    """An unknown status is not clear, an unknown advice is refuse, and proceed needs clear."""
    assert safe_advice("clear", "proceed") == "proceed"
    assert safe_advice("suspended", "proceed") == "refuse"
    assert safe_advice("clear", "wave_through") == "refuse"
    assert safe_advice("clear", None) == "refuse"
    answer = read_answer({"status": "suspended", "advice": "proceed", "colour": "red"}, 0.0)
    assert not answer.clear
    assert not answer.proceed
