"""The status rule: what a record says of a card."""

from collections.abc import Sequence
from typing import Final, Literal, Protocol

from lostid.domain.covers import Cover, CoverKind, Reach
from lostid.domain.documents import TYPES
from lostid.domain.instance import Instance
from lostid.domain.record import Record
from lostid.domain.roles import RAIL_TICKETING

Status = Literal["clear", "reported", "void", "indeterminate"]
CLEAR: Final = "clear"
REPORTED: Final = "reported"
VOID: Final = "void"
INDETERMINATE: Final = "indeterminate"

_PROCEED: Final = "proceed"
_REFUSE: Final = "refuse"


class HasReaches(Protocol):
    """A record, whole or packed."""

    @property
    def reaches(self) -> Sequence[Reach]: ...


def decide(record: HasReaches, instance: Instance) -> Status:
    """Any final yes: void; else any reversible yes: reported; else any maybe: indeterminate; else clear.

    Where the card may have been issued on several days that are answered differently, the instance counts as missing.
    """
    return _settle(record.reaches, instance)[0]


def decide_with_reason(record: Record, instance: Instance) -> tuple[Status, str | None, int | None]:
    """The status, with reason and time of the earliest `effective_at` among the covers that decide it."""
    status = decide(record, instance)
    covers = [cover for _, cover in deciding(record, instance)]
    if not covers:
        return status, None, None
    first = min(covers, key=lambda cover: cover.effective_at_ms)
    return status, first.reason, first.effective_at_ms


def deciding(record: Record, instance: Instance) -> list[tuple[str, Cover]]:
    """The covers that make the status what it is, each with its report. None where it is clear."""
    status, points = _settle(record.reaches, instance)
    if status == CLEAR:
        return []
    return [
        (id_, cover)
        for id_, cover in record.covers
        if any(_decides(cover, status, point, instance) for point in points)
    ]


def needs(type: str) -> list[str]:
    """What a caller must add to turn `indeterminate` into an answer."""
    field = TYPES[type].instance
    return [] if field is None else [field]


def advice(status: str, purpose: str) -> str:
    """What the desk is to do. Whatever is not known to be good is refused."""
    if status == CLEAR:
        return _PROCEED
    if status == INDETERMINATE:
        return "check_at_gate" if purpose == RAIL_TICKETING else "provide_instance"
    return _REFUSE


def _settle(reaches: Sequence[Reach], instance: Instance) -> tuple[Status, tuple[int | None, ...]]:
    """The status, and the points in the order of cards that it was decided at."""
    points: tuple[int | None, ...] = instance.points or (None,)
    status = _decide_at(reaches, points[0], instance)
    if all(_decide_at(reaches, point, instance) == status for point in points[1:]):
        return status, points
    return _decide_at(reaches, None, instance), (None,)


def _decide_at(reaches: Sequence[Reach], point: int | None, instance: Instance) -> Status:
    status: Status = CLEAR
    for reach in reaches:
        covered = _covers(reach, point, instance)
        if covered is None:
            if status == CLEAR:
                status = INDETERMINATE
        elif covered:
            if reach.final:
                return VOID
            status = REPORTED
    return status


def _covers(reach: Reach, point: int | None, instance: Instance) -> bool | None:
    """Yes, no, or None for maybe: the instance is missing."""
    kind = reach.kind
    if kind is CoverKind.ALL:
        return True
    if kind is CoverKind.THROUGH:
        return None if point is None or reach.watermark is None else point <= reach.watermark
    tag = instance.serial_tag
    if tag is None:
        if instance.serial is not None:
            raise ValueError("the serial of the instance has not been tagged for this document key")
        return None
    if kind is CoverKind.ONLY:
        return tag == reach.serial_tag
    return tag != reach.serial_tag and tag not in reach.also_spared


def _decides(cover: Cover, status: Status, point: int | None, instance: Instance) -> bool:
    covered = _covers(cover, point, instance)
    if status == INDETERMINATE:
        return covered is None
    return covered is True and cover.final is (status == VOID)
