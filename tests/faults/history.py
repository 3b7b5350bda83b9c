"""The history checker: what callers saw, against the promises. Pure: it reads a history and knows no service.

Times are readings of one monotonic clock (any unit). An operation that began at ``invoked`` and was answered at
``completed`` took effect for its caller somewhere in between; one whose outcome is not known (timeout, disconnect) has
``completed`` None and may take effect at any time after ``invoked``, or never. It is never counted as a failure.

For one document, each report has a time in which it *may* be in force and one in which it *must* be:

    report invoked ── may ──> receipt ── must ──> withdrawal invoked ── may ──> withdrawal completed

STALE    a check said clear, and at every instant between its invocation and its answer some report had to be in force
PHANTOM  a check refused, and at no instant between its invocation and its answer could any report be in force
LOST     a receipt was given, the report was not withdrawn, and after healing the registry does not refuse the card
TAIL     how long after a receipt a clear answer came that was asked for before it: bounded by the lease (promise G2)

Different hosts may learn of a report at different times between its invocation and its receipt, so checks are judged
one by one and not against a single order of all operations.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

FOREVER = float("inf")


@dataclass(frozen=True, slots=True)
class ReportSeen:
    """A report of ``document``. ``completed``: its receipt was read; None: not known whether it was recorded."""

    document: str
    invoked: float
    completed: float | None
    withdrawal_invoked: float | None = None
    withdrawal_completed: float | None = None

    @property
    def may(self) -> tuple[float, float]:
        """When it may be in force; both ends belong to it."""
        return self.invoked, FOREVER if self.withdrawal_completed is None else self.withdrawal_completed

    @property
    def must(self) -> tuple[float, float] | None:
        """When it has to be in force; both ends belong to it. None: never surely."""
        if self.completed is None:
            return None
        end = FOREVER if self.withdrawal_invoked is None else self.withdrawal_invoked
        return (self.completed, end) if self.completed <= end else None


@dataclass(frozen=True, slots=True)
class CheckSeen:
    """A check of ``document``. ``clear``: True, False (refused in any way that shows a record), or None: no answer."""

    document: str
    invoked: float
    completed: float
    clear: bool | None


@dataclass(frozen=True, slots=True)
class FinalState:
    """Whether the registry refuses the document after everything was healed and quiet."""

    document: str
    refused: bool


@dataclass(slots=True)
class Verdict:
    """What the history shows. ``opportunities``: checks sent within ``near`` after a receipt."""

    checks: int = 0
    reports: int = 0
    opportunities: int = 0
    longest_tail: float = 0.0
    stale: list[CheckSeen] = field(default_factory=list)
    phantom: list[CheckSeen] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    @property
    def kept(self) -> bool:
        """Whether no promise was seen broken."""
        return not (self.stale or self.phantom or self.lost)


def judge(
    reports: Iterable[ReportSeen], checks: Iterable[CheckSeen], finals: Iterable[FinalState] = (), *, near: float = 1.0
) -> Verdict:
    """Judge a whole history; linear in its operations but for sorting the reports of each document."""
    verdict = Verdict()
    by_document: dict[str, list[ReportSeen]] = defaultdict(list)
    for report in reports:
        by_document[report.document].append(report)
        verdict.reports += 1
    timelines = {document: _Timeline(seen) for document, seen in by_document.items()}
    nothing = _Timeline([])
    for check in checks:
        _judge_check(check, timelines.get(check.document, nothing), near, verdict)
    for final in finals:
        timeline = timelines.get(final.document, nothing)
        if not final.refused and timeline.must_at_last:
            verdict.lost.append(final.document)
    return verdict


def _judge_check(check: CheckSeen, timeline: _Timeline, near: float, verdict: Verdict) -> None:
    verdict.checks += 1
    since = timeline.since_receipt(check.invoked)
    if since is not None and since <= near:
        verdict.opportunities += 1
    if check.clear is True:
        if timeline.must_throughout(check.invoked, check.completed):
            verdict.stale.append(check)
        else:
            tail = timeline.since_receipt(check.completed)
            verdict.longest_tail = max(verdict.longest_tail, tail or 0.0)
    elif check.clear is False and not timeline.may_sometime(check.invoked, check.completed):
        verdict.phantom.append(check)


class _Timeline:
    """The reports of one document as two lists of disjoint intervals, in order: may and must be in force."""

    def __init__(self, reports: Sequence[ReportSeen]) -> None:
        self._may = _union(report.may for report in reports)
        self._must = _union(must for report in reports if (must := report.must) is not None)
        self._may_starts = [start for start, _ in self._may]
        self._must_starts = [start for start, _ in self._must]

    @property
    def must_at_last(self) -> bool:
        return bool(self._must) and self._must[-1][1] == FOREVER

    def must_throughout(self, start: float, end: float) -> bool:
        """Whether one interval of ``must`` holds all of [start, end]."""
        at = bisect_right(self._must_starts, start) - 1
        return at >= 0 and self._must[at][1] >= end

    def may_sometime(self, start: float, end: float) -> bool:
        """Whether an interval of ``may`` meets [start, end]."""
        at = bisect_right(self._may_starts, end) - 1
        return at >= 0 and self._may[at][1] >= start

    def since_receipt(self, instant: float) -> float | None:
        """How long a report has had to be in force at ``instant``; None where none has to."""
        at = bisect_right(self._must_starts, instant) - 1
        return instant - self._must[at][0] if at >= 0 and self._must[at][1] >= instant else None


def _union(intervals: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Disjoint closed intervals in order that hold the same instants."""
    merged: list[tuple[float, float]] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    assert all(left[1] < right[0] for left, right in pairwise(merged))
    return merged
