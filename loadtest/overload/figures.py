"""What a run of the overload test is held to. Plain functions of what was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from overload.flood import Seen

IN_TIME_US = 100_000  # as in lostid_load: an answer later than this is one that a queue of guests would feel


@dataclass(frozen=True, slots=True)
class Figure:
    """One promise of the test: what was seen, and what it must be."""

    name: str
    seen: float
    limit: float
    at_least: bool = False

    @property
    def kept(self) -> bool:
        """Whether the promise held."""
        return self.seen >= self.limit if self.at_least else self.seen <= self.limit


def percentile_ms(latencies: Sequence[int], share: float) -> float:
    """In milliseconds; 0 where there is none."""
    ordered = sorted(latencies)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1000 if ordered else 0.0


def sustained(seen: Seen) -> bool:
    """Whether 99 of 100 requests were answered in time."""
    asked = seen.offered + seen.not_offered
    return asked > 0 and sum(took <= IN_TIME_US for took in seen.answered) >= 0.99 * asked


def overloaded(checks: Seen, police: Seen, capacity: float, seconds: float) -> list[Figure]:
    """At three times the capacity."""
    return [
        Figure(
            "share of the capacity that is answered", len(checks.answered) / seconds / capacity, 0.70, at_least=True
        ),
        Figure("answered, p99 in ms", percentile_ms(checks.answered, 0.99), 250),
        Figure("refused, p99 in ms", percentile_ms(checks.refused, 0.99), 50),
        Figure("refused without Retry-After", checks.without_retry_after, 0),
        Figure("checks broken off, or answered otherwise", _amiss(checks), 0),
        Figure("reports without a receipt", police.offered + police.not_offered - len(police.answered), 0),
    ]


def normal_again(checks: Seen, after_s: int) -> list[Figure]:
    """So many seconds after the overload, at half the capacity."""
    return [Figure("refused after it", sum(refused for _, refused in checks.seconds[after_s:]), 0)]


def undisturbed(alone: Seen, beside: Seen) -> list[Figure]:
    """The same requests alone, and beside connections that do nothing."""
    return [
        Figure("refused or broken off beside idle connections", len(beside.refused) + _amiss(beside), 0),
        Figure("p99 beside idle connections, as a multiple", _ratio(alone, beside), 2),
    ]


def shares(alone: Sequence[Seen], beside: Sequence[Seen]) -> list[Figure]:
    """The other tenants, before and while one asks for twenty times its share."""
    refused = sum(len(seen.refused) + _amiss(seen) for seen in beside)
    ratios = [_ratio(before, now) for before, now in zip(alone, beside, strict=True)]
    return [
        Figure("others' requests refused", refused, 0),
        Figure("others' p99, as a multiple", max(ratios, default=0.0), 2),
    ]


def _amiss(seen: Seen) -> int:
    return sum(seen.others.values()) + seen.unanswered + seen.broken


def _ratio(before: Seen, now: Seen) -> float:
    return percentile_ms(now.answered, 0.99) / max(1e-3, percentile_ms(before.answered, 0.99))
