"""Withdrawal by two: who may ask that a report loses its effect, who may agree, and until when.

    awaiting_approval --approve--> approved      the report's covers go
                      --refuse---> refused
                      --too late-> expired       24 hours after the request
                      --overtaken> overtaken     a newer report on a document of it, or it is withdrawn already

Everything here is decided from facts that were read under the lock on the ledger's head.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from lostid.domain.roles import APPROVER, REPORTER, SUPERVISOR

AWAITING: Final = "awaiting_approval"
APPROVED: Final = "approved"
REFUSED: Final = "refused"
EXPIRED: Final = "expired"
OVERTAKEN: Final = "overtaken"
STATES: Final = (AWAITING, APPROVED, REFUSED, EXPIRED, OVERTAKEN)

ENTRY_ERROR: Final = "entry_error"
RETURNED: Final = "returned_to_holder"
GROUNDS: Final = (ENTRY_ERROR, RETURNED, "other")

WINDOW_MS: Final = 24 * 3600 * 1000
MAY_ASK: Final = frozenset((REPORTER, SUPERVISOR))
MAY_DECIDE: Final = frozenset((APPROVER, SUPERVISOR))
_DECEASED: Final = "deceased"
_FOUND: Final = "found"


class Event(StrEnum):
    APPROVE = "approve"
    REFUSE = "refuse"
    TOO_LATE = "too_late"
    NEWER_REPORT = "newer_report"


# Whatever is not in this table does not happen: a decided withdrawal is never decided again.
NEXT: Final[Mapping[tuple[str, Event], str]] = MappingProxyType(
    {
        (AWAITING, Event.APPROVE): APPROVED,
        (AWAITING, Event.REFUSE): REFUSED,
        (AWAITING, Event.TOO_LATE): EXPIRED,
        (AWAITING, Event.NEWER_REPORT): OVERTAKEN,
    }
)


class Denied(Exception):
    """Not allowed, with a code of the contract. `event` is what the attempt brought to light about the withdrawal."""

    def __init__(self, code: str, event: Event | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.event = event


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody at a key. A person is an operator of an organisation, a station is one of an organisation."""

    key_id: str
    env: str
    org: str
    station: str
    operator: str
    roles: frozenset[str] = frozenset()

    def same_person(self, other: "Actor") -> bool:
        return self.key_id == other.key_id or (self.org, self.operator) == (other.org, other.operator)

    def same_station(self, other: "Actor") -> bool:
        return (self.org, self.station) == (other.org, other.station)


@dataclass(frozen=True, slots=True)
class Reported:
    """As much of a report as these rules need."""

    id: str
    reason: str
    by: Actor
    withdrawn: bool


@dataclass(frozen=True, slots=True)
class Cap:
    day: int
    month: int  # 30 days


@dataclass(frozen=True, slots=True)
class Caps:
    """How often one operator may ask. Found cards that went back to their holders are counted apart."""

    usual: Cap = Cap(5, 20)
    returned: Cap = Cap(50, 500)

    def of(self, reason: str, grounds: str) -> Cap:
        return self.returned if counted_apart(reason, grounds) else self.usual


@dataclass(frozen=True, slots=True)
class Asked:
    """A withdrawal as it stands. `reported` is None for a rewind, which names an operator instead."""

    requester: Actor
    requester_stands: bool
    """The requester's key is neither revoked nor without the role."""
    state: str
    expires_ms: int
    overtaken: bool
    grounds: str
    reported: Reported | None
    rewinds: tuple[str, str] | None = None
    """(organisation, operator) whose withdrawals a rewind takes back."""


def counted_apart(reason: str, grounds: str) -> bool:
    return reason == _FOUND and grounds == RETURNED


def may_ask(reported: Reported, grounds: str, actor: Actor, spent: Cap, caps: Caps) -> None:
    """Whether `actor` may ask for it now; `spent` is how often the operator asked in a day and in 30. Raises Denied."""
    if actor.roles.isdisjoint(MAY_ASK):
        raise Denied("role_missing")
    if (actor.env, actor.org) != (reported.by.env, reported.by.org):
        raise Denied("not_found")
    if reported.reason == _DECEASED and grounds != ENTRY_ERROR:
        raise Denied("reason_not_allowed")
    cap = caps.of(reported.reason, grounds)
    if SUPERVISOR not in actor.roles and (spent.day >= cap.day or spent.month >= cap.month):
        raise Denied("cap_reached")
    if reported.withdrawn:
        raise Denied("withdrawal_not_pending")


def visible(asked: Asked, actor: Actor) -> bool:
    """To its own organisation; the withdrawal of a death also to the supervisors of the others, who decide it."""
    if actor.env != asked.requester.env:
        return False
    return actor.org == asked.requester.org or (SUPERVISOR in actor.roles and _of_a_death(asked))


def may_decide(asked: Asked, event: Event, actor: Actor, now_ms: int) -> str:
    """The state that follows from this decision. Raises Denied; who decides comes before what is decided."""
    if actor.roles.isdisjoint(MAY_DECIDE):
        raise Denied("role_missing")
    if not visible(asked, actor):
        raise Denied("not_found")
    _another_person(asked, actor)
    if (asked.state, event) not in NEXT:
        raise Denied(_CODES.get(asked.state, "withdrawal_not_pending"))
    if asked.overtaken:
        raise Denied("withdrawal_overtaken", Event.NEWER_REPORT)
    if now_ms >= asked.expires_ms:
        raise Denied("withdrawal_expired", Event.TOO_LATE)
    if event is Event.APPROVE and not asked.requester_stands:
        raise Denied("withdrawal_not_pending")
    return NEXT[asked.state, event]


# What a withdrawal's end is called to those who come too late for it.
_CODES: Final[Mapping[str, str]] = MappingProxyType({EXPIRED: "withdrawal_expired", OVERTAKEN: "withdrawal_overtaken"})


def _another_person(asked: Asked, actor: Actor) -> None:
    """Another key, operator and station than the requester's and the reporter's; for a death a supervisor elsewhere."""
    others = [asked.requester] if asked.reported is None else [asked.requester, asked.reported.by]
    if any(actor.same_person(other) for other in others) or asked.rewinds == (actor.org, actor.operator):
        raise Denied("same_person")
    if any(actor.same_station(other) for other in others):
        raise Denied("same_station")
    if asked.rewinds is not None and SUPERVISOR not in actor.roles:
        raise Denied("role_missing")
    if _of_a_death(asked) and (SUPERVISOR not in actor.roles or actor.org == asked.requester.org):
        raise Denied("role_missing")


def _of_a_death(asked: Asked) -> bool:
    return asked.reported is not None and asked.reported.reason == _DECEASED
