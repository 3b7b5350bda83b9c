"""What rounds showed, as numbers and as text. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults.history import judge
from tests.faults.record import CLEAR, LATE, NONE, REFUSED, Record
from tests.faults.schedule import Played

LEASE_S = 1.0
_SHOWN = 10


@dataclass(slots=True)
class Findings:
    """One round, or the sum of several. `minutes`: with faults. `checked`: documents that got an answer.
    `opportunities`: answered checks that were sent within a second of a receipt; `in_faults`: those of them that were
    sent while a fault was on."""

    seeds: list[int] = field(default_factory=list)
    minutes: float = 0.0
    checked: int = 0
    unanswered: int = 0
    refused: int = 0
    reports: int = 0
    receipts: int = 0
    unknown: int = 0
    replayed: int = 0
    withdrawn: int = 0
    imports: int = 0
    imported: int = 0
    revoked: int = 0
    asked_with_revoked: int = 0
    opportunities: int = 0
    in_faults: int = 0
    stale: int = 0
    phantom: int = 0
    lost: int = 0
    late: int = 0
    longest_tail: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    not_played: Counter[str] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)

    @property
    def kept(self) -> bool:
        """Whether every promise was."""
        wrong = self.stale or self.phantom or self.lost or self.unexpected or not self.checked
        return not wrong and self.longest_tail <= LEASE_S

    @property
    def availability(self) -> float:
        """Of the documents asked about, at the hosts that are meant to be there."""
        asked = self.checked + self.unanswered
        return self.checked / asked if asked else 0.0

    def add(self, other: Findings) -> None:
        for name in self.__slots__:
            mine, its = getattr(self, name), getattr(other, name)
            setattr(self, name, max(mine, its) if name == "longest_tail" else mine + its)

    def told(self) -> dict[str, Any]:
        """For JSON."""
        told = {name: getattr(self, name) for name in self.__slots__}
        return {**told, "kept": self.kept, "availability": round(self.availability, 4), "kinds": len(self.faults)}

    def lines(self) -> str:
        """For people."""
        told = [
            f"seeds            {' '.join(map(str, self.seeds))}",
            f"minutes          {self.minutes:.1f} with faults",
            f"documents        {self.checked:,} checked ({self.refused:,} refused), "
            f"{self.unanswered:,} without an answer (availability {self.availability:.1%})",
            f"reports          {self.reports:,}, {self.receipts:,} receipts, "
            f"{self.unknown:,} given up by their callers, {self.replayed:,} asked for again, "
            f"{self.withdrawn:,} withdrawn",
            f"imports          {self.imports:,} released with {self.imported:,} cards",
            f"keys             {self.revoked:,} revoked, asked with {self.asked_with_revoked:,} times afterwards",
            f"opportunities    {self.opportunities:,} answered checks within a second of a receipt, "
            f"{self.in_faults:,} of them while a fault was on",
            f"faults           {self.faults.total():,} of {len(self.faults)} kinds",
            *(f"  {count:6,}  {kind}" for kind, count in sorted(self.faults.items())),
            *(f"  {count:6,}  {kind}: could not be played" for kind, count in sorted(self.not_played.items())),
            f"STALE            {self.stale}",
            f"PHANTOM          {self.phantom}",
            f"LOST             {self.lost}",
            f"TAIL             {self.longest_tail:.3f} s at most after a receipt (promised: {LEASE_S:.0f} s); "
            f"{self.late:,} answers came too late and were discarded",
            f"unexpected       {len(self.unexpected)}",
            *(f"  {line}" for line in self.unexpected[:_SHOWN]),
            "every promise was kept" if self.kept else "A PROMISE WAS BROKEN" if self.checked else "nothing was seen",
        ]
        return "\n".join(told)


def judged(record: Record, faults: Sequence[Played], seed: int, seconds: float) -> Findings:
    """What one round's record says against the promises."""
    verdict = judge(record.reports_seen(), record.checks_seen(), record.finals_seen())
    acted_on = judge(record.reports_seen(), record.checks_seen(of_reported=True, acted_on=True))
    near = judge(record.reports_seen(), record.checks_seen(of_reported=True))
    in_faults = judge(record.reports_seen(), record.checks_seen(of_reported=True, when=_During(faults).on))
    answers = record.checks["answer"], record.checks["host"]
    staying = Counter(answer for answer, host in zip(*answers, strict=True) if host < 2)
    codes = Counter(answers[0])
    return Findings(
        seeds=[seed],
        minutes=seconds / 60,
        checked=staying.total() - staying[NONE],
        unanswered=staying[NONE],
        refused=codes[REFUSED],
        reports=verdict.reports - record.told["imported"],
        receipts=record.told["receipts"],
        unknown=verdict.reports - record.told["receipts"] - record.told["imported"],
        replayed=record.told["replayed"],
        withdrawn=record.told["withdrawn"],
        imports=record.told["imports"],
        imported=record.told["imported"],
        revoked=record.told["revoked"],
        asked_with_revoked=record.told["asked_with_revoked"],
        opportunities=near.opportunities,
        in_faults=in_faults.opportunities,
        stale=len(verdict.stale),
        phantom=len(verdict.phantom),
        lost=len(verdict.lost),
        late=codes[LATE],
        longest_tail=acted_on.longest_tail,
        faults=Counter(fault.kind for fault in faults if not fault.failed),
        not_played=Counter(fault.kind for fault in faults if fault.failed),
        unexpected=[*record.told["unexpected"], *(["nothing was ever clear"] if not codes[CLEAR] else [])],
    )


class _During:
    """Whether a fault was on: disjoint intervals in order."""

    def __init__(self, faults: Sequence[Played]) -> None:
        self._begins: list[float] = []
        self._ends: list[float] = []
        for began, ended in sorted((fault.began, fault.ended) for fault in faults):
            if self._ends and began <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], ended)
            else:
                self._begins.append(began)
                self._ends.append(ended)

    def on(self, at: float) -> bool:
        place = bisect_right(self._begins, at) - 1
        return place >= 0 and at <= self._ends[place]
