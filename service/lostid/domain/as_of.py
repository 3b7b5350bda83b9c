"""Two clocks: when the registry knew something, and when it was so."""

from collections.abc import Iterable, Sequence

from lostid.domain.covers import Effect
from lostid.domain.instance import Instance
from lostid.domain.record import Record, fold
from lostid.domain.status import Status, decide, decide_with_reason, deciding

Dated = tuple[int, Effect]
"""(when its entry was recorded, the effect)"""


def told_at(effects: Iterable[Dated], instance: Instance, at_ms: int) -> Status:
    """What a check at that instant was told: the record of all that had been recorded by then."""
    return decide(fold(effect for recorded_ms, effect in effects if recorded_ms <= at_ms), instance)


def known_of(effects: Sequence[Dated], instance: Instance, at_ms: int) -> tuple[Status, str | None, tuple[str, ...]]:
    """(status, reason, reports) of that instant by today's ledger: what is in force now and took effect by then."""
    today = fold(effect for _, effect in effects)
    record = Record(tuple((id_, cover) for id_, cover in today.covers if cover.effective_at_ms <= at_ms))
    status, reason, _ = decide_with_reason(record, instance)
    return status, reason, tuple(dict.fromkeys(id_ for id_, _ in deciding(record, instance)))
