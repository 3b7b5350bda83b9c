"""A run's outcomes added up: figures, percentiles (HdrHistogram), what went on second by second."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hdrh.histogram import HdrHistogram

from lostid_load.outcome import Outcome, Second
from lostid_load.scenario import Scenario

_MOST_US = 120_000_000
_PERCENTILES = (50.0, 90.0, 99.0, 99.9, 99.99)
_LAG_LIMIT_MS = 20.0
_CPU_LIMIT = 0.85
_KEPT = 0.99  # of a step's requests, answered and in time, for its rate to count as sustained


@dataclass(frozen=True, slots=True)
class StepResult:
    """One step of the scenario, in documents per second."""

    rate: float
    sent: int
    in_time: int

    @property
    def sustained(self) -> bool:
        """Whether the server kept up: nearly everything answered, and soon."""
        return self.sent > 0 and self.in_time >= _KEPT * self.sent


@dataclass(frozen=True, slots=True)
class Result:
    """One finished run."""

    scenario: Scenario
    figures: dict[str, float]
    statuses: dict[str, int]
    seconds: list[Second]
    checks: Any
    reports: Any
    everywhere: Any
    wrong: list[str]
    bottleneck: str | None
    steps: list[StepResult]


def add_up(scenario: Scenario, outcomes: Sequence[Outcome], elapsed: float) -> Result:
    """Merge the processes of one run."""
    checks, reports = _histogram(o.latencies for o in outcomes), _histogram(o.receipts for o in outcomes)
    everywhere = _histogram(o.everywhere for o in outcomes)
    statuses: Counter[str] = Counter()
    for outcome in outcomes:
        statuses.update(outcome.statuses)
    seconds = _seconds(outcomes)
    steps = _steps(scenario, seconds)
    truths = [outcome.truth for outcome in outcomes]
    answered = sum(second.answered for second in seconds)
    figures: dict[str, float] = {
        "checks": float(sum(outcome.documents for outcome in outcomes)),
        "requests": float(sum(second.sent for second in seconds)),
        "answered": float(answered),
        "refused": float(sum(second.refused for second in seconds)),
        "failed": float(sum(second.failed for second in seconds)),
        "unfinished": float(sum(outcome.unfinished for outcome in outcomes)),
        "rate": answered / elapsed,
        "checks_rate": sum(outcome.documents for outcome in outcomes) / elapsed,
        "sustained": _sustained(steps),
        "wrong": float(sum(truth.wrong for truth in truths)),
        "stale": float(sum(truth.stale for truth in truths)),
        "phantom": float(sum(truth.phantom for truth in truths)),
        "reports": float(reports.get_total_count()),
        "probes": float(sum(outcome.probes for outcome in outcomes)),
        "driver_lag": max(outcome.loop_lag_us for outcome in outcomes) / 1000.0,
        "driver_cpu": max(outcome.cpu_share for outcome in outcomes),
        **_percentiles("p", checks),
        **_percentiles("receipt_p", reports),
        **_percentiles("everywhere_p", everywhere),
    }
    examples = [example for truth in truths for example in truth.examples][:10]
    return Result(
        scenario, figures, dict(statuses), seconds, checks, reports, everywhere, examples, _bottleneck(figures), steps
    )


def _steps(scenario: Scenario, seconds: Sequence[Second]) -> list[StepResult]:
    """Each step from the seconds whose middle lies in it."""
    steps, start = [], 0.0
    for step in scenario.steps:
        end = start + step.seconds
        own = [second for at, second in enumerate(seconds) if start <= at + 0.5 < end]
        in_time = sum(second.answered - second.late for second in own)
        steps.append(StepResult(max(step.from_rate, step.to_rate), sum(second.sent for second in own), in_time))
        start = end
    return steps


def _sustained(steps: Sequence[StepResult]) -> float:
    """The highest rate that was kept up, as were all before it: what comes after an overload suffers from it."""
    kept = itertools.takewhile(lambda step: step.sustained, steps)
    return max((step.rate for step in kept), default=0.0)


def _bottleneck(figures: dict[str, float]) -> str | None:
    if figures["driver_cpu"] > _CPU_LIMIT:
        return f"the driver itself used {figures['driver_cpu']:.0%} of a core: the server may be faster than this says"
    if figures["driver_lag"] > _LAG_LIMIT_MS:
        return f"the driver's own loop was up to {figures['driver_lag']:.0f} ms late: the tail is partly its own"
    return None


def _histogram(parts: Any) -> Any:
    histogram = HdrHistogram(1, _MOST_US, 3)
    for part in parts:
        for value, count in Counter(part).items():
            histogram.record_value(min(max(value, 1), _MOST_US), count)
    return histogram


def _percentiles(prefix: str, histogram: Any) -> dict[str, float]:
    values = {}
    for percentile in _PERCENTILES:
        name = f"{prefix}{percentile:g}"
        values[name] = histogram.get_value_at_percentile(percentile) / 1000.0 if histogram.get_total_count() else 0.0
    values[f"{prefix}max"] = histogram.get_max_value() / 1000.0 if histogram.get_total_count() else 0.0
    return values


def _seconds(outcomes: Sequence[Outcome]) -> list[Second]:
    merged: list[Second] = []
    for outcome in outcomes:
        for index, second in enumerate(outcome.seconds):
            if index == len(merged):
                merged.append(Second())
            into = merged[index]
            into.sent += second.sent
            into.answered += second.answered
            into.refused += second.refused
            into.failed += second.failed
            into.late += second.late
            into.worst_us = max(into.worst_us, second.worst_us)
    return merged
