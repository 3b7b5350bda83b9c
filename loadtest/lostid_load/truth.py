"""What the driver knows must be answered, and what it saw instead.

A card reported by this process must be refused by every check sent after the receipt; a card that nobody reported must
never be refused. In between (asked before the receipt) both answers are right.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lostid_load.population import Holder

REFUSALS = frozenset({"reported", "void", "indeterminate"})


@dataclass(slots=True)
class Truth:
    """The reports of this process, and the wrong answers by kind."""

    reported_at: dict[str, float] = field(default_factory=dict)
    asked_at: dict[str, float] = field(default_factory=dict)
    stale: int = 0
    phantom: int = 0
    inexact: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> int:
        """All wrong answers."""
        return self.stale + self.phantom + self.inexact

    def asking(self, number: str, now: float) -> None:
        """A report is about to be sent: from now on a refusal can be right."""
        self.asked_at.setdefault(number, now)

    def receipt(self, number: str, now: float) -> None:
        """Its receipt was read: from now on a check that is sent must be refused."""
        self.reported_at.setdefault(number, now)

    def judge(self, holder: Holder, status: str, sent: float) -> None:
        """Count an answer to a check of this holder's card that was sent at ``sent``."""
        must_refuse = (
            holder.kind in ("reported", "no_instance") or self.reported_at.get(holder.number, sent + 1) <= sent
        )
        may_refuse = must_refuse or holder.number in self.asked_at
        if status == "clear" and must_refuse:
            self.stale += 1
            self._note(f"clear for a {holder.kind} card after its receipt")
        elif status in REFUSALS and not may_refuse:
            self.phantom += 1
            self._note(f"{status} for a {holder.kind} card")
        elif holder.kind == "no_instance" and status in REFUSALS - {"indeterminate"}:
            self.inexact += 1
            self._note(f"{status} without the instance")

    def _note(self, what: str) -> None:
        if len(self.examples) < 10:
            self.examples.append(what)
