"""The rules of a withdrawal, every state and person tried: only the table's way leads out of awaiting_approval."""

from dataclasses import replace
from itertools import product

import pytest

from lostid.domain.roles import APPROVER, REPORTER, SUPERVISOR
from lostid.domain.withdrawal import (
    APPROVED,
    AWAITING,
    NEXT,
    REFUSED,
    STATES,
    WINDOW_MS,
    Actor,
    Asked,
    Cap,
    Caps,
    Denied,
    Event,
    Reported,
    may_ask,
    may_decide,
)

REPORTING = Actor("key_1", "live", "police", "east", "ann", frozenset({REPORTER}))
ASKING = Actor("key_2", "live", "police", "west", "ben", frozenset({REPORTER}))
DECIDING = Actor("key_3", "live", "police", "north", "cleo", frozenset({APPROVER}))
LOST = Reported("rpt_1", "lost", REPORTING, withdrawn=False)
PENDING = Asked(ASKING, True, AWAITING, WINDOW_MS, False, "entry_error", LOST)
NONE = Cap(0, 0)


def code(asked: Asked, actor: Actor, event: Event = Event.APPROVE, now_ms: int = 0) -> str:
    try:
        return may_decide(asked, event, actor, now_ms)
    except Denied as denied:
        return denied.code


def test_table() -> None:
    """Every state with every event: out of the one state that waits, and never back into it."""
    assert {state for state, _ in NEXT} == {AWAITING}
    assert set(NEXT.values()) == set(STATES) - {AWAITING}
    assert [event for _, event in NEXT] == list(Event)
    for state, event in product(STATES, (Event.APPROVE, Event.REFUSE)):
        told = code(replace(PENDING, state=state), DECIDING, event)
        assert told == NEXT.get((state, event), told)
        assert (told in (APPROVED, REFUSED)) is (state == AWAITING)


@pytest.mark.parametrize("event", [Event.APPROVE, Event.REFUSE])
@pytest.mark.parametrize("other", [REPORTING, ASKING])
def test_another(other: Actor, event: Event) -> None:
    """Another key, operator and station than the requester's and the reporter's; names are an organisation's own."""
    assert code(PENDING, replace(DECIDING, key_id=other.key_id), event) == "same_person"
    assert code(PENDING, replace(DECIDING, operator=other.operator), event) == "same_person"
    assert code(PENDING, replace(DECIDING, station=other.station), event) == "same_station"
    assert code(PENDING, replace(DECIDING, roles=frozenset({REPORTER})), event) == "role_missing"
    assert code(PENDING, replace(DECIDING, env="test"), event) == "not_found"
    assert code(PENDING, replace(DECIDING, org="customs"), event) == "not_found"


def test_time() -> None:
    """Until the last millisecond of the window, and not in the next."""
    assert code(PENDING, DECIDING, now_ms=WINDOW_MS - 1) == APPROVED
    assert code(PENDING, DECIDING, now_ms=WINDOW_MS) == "withdrawal_expired"


def test_facts() -> None:
    """A newer report overtakes, and a requester whose rights ended has asked for nothing; a refusal needs neither."""
    assert code(replace(PENDING, overtaken=True), DECIDING) == "withdrawal_overtaken"
    assert code(replace(PENDING, requester_stands=False), DECIDING) == "withdrawal_not_pending"
    assert code(replace(PENDING, requester_stands=False), DECIDING, Event.REFUSE) == REFUSED


def test_death() -> None:
    """Only as an error of entry, only by a supervisor of another organisation."""
    death = replace(LOST, reason="deceased")
    with pytest.raises(Denied, match="reason_not_allowed"):
        may_ask(death, "other", ASKING, NONE, Caps())
    may_ask(death, "entry_error", ASKING, NONE, Caps())
    pending = replace(PENDING, reported=death)
    supervisor = replace(DECIDING, roles=frozenset({SUPERVISOR}))
    assert code(pending, DECIDING) == "role_missing"
    assert code(pending, supervisor) == "role_missing"
    assert code(pending, replace(DECIDING, org="court")) == "not_found"
    assert code(pending, replace(supervisor, org="court")) == APPROVED
    assert code(pending, replace(supervisor, org="court", operator="ann", station="east")) == APPROVED


@pytest.mark.parametrize(("reason", "grounds", "day"), [("lost", "other", 5), ("found", "returned_to_holder", 50)])
def test_caps(reason: str, grounds: str, day: int) -> None:
    """The last one under the cap, the first over it, and the supervisor for whom there is none."""
    reported = replace(LOST, reason=reason)
    may_ask(reported, grounds, ASKING, Cap(day - 1, day - 1), Caps())
    over = (Cap(day, day), Cap(0, Caps().of(reason, grounds).month))
    for spent in over:
        with pytest.raises(Denied, match="cap_reached"):
            may_ask(reported, grounds, ASKING, spent, Caps())
        may_ask(reported, grounds, replace(ASKING, roles=frozenset({SUPERVISOR})), spent, Caps())


def test_ask() -> None:
    """By a reporter or supervisor of the report's organisation and environment, while there is something to undo."""
    for actor, told in (
        (replace(ASKING, roles=frozenset({APPROVER})), "role_missing"),
        (replace(ASKING, org="customs"), "not_found"),
        (replace(ASKING, env="test"), "not_found"),
    ):
        with pytest.raises(Denied, match=told):
            may_ask(LOST, "other", actor, NONE, Caps())
    with pytest.raises(Denied, match="withdrawal_not_pending"):
        may_ask(replace(LOST, withdrawn=True), "other", ASKING, NONE, Caps())
