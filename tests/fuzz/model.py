"""What the registry should say, from a dictionary of what was reported: written down from the contract, not from the
code. Residents' cards only, told apart by the day on them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

FINAL = frozenset(("cancelled", "deceased"))


@dataclass
class Cover:
    """`through`: the named card and all earlier ones; None: every card of the person."""

    final: bool
    through: date | None

    def covers(self, card: date | None) -> bool | None:
        """None: it depends on the card, and none is named."""
        if self.through is None:
            return True
        return None if card is None else card <= self.through


@dataclass
class Model:
    """In force, by person, by what put it there (a report or an import)."""

    in_force: dict[str, dict[str, Cover]] = field(default_factory=dict)

    def put(self, person: str, by: str, reason: str, card: date) -> None:
        through = None if reason == "deceased" else card
        self.in_force.setdefault(person, {})[by] = Cover(reason in FINAL, through)

    def take_back(self, by: str) -> None:
        for covers in self.in_force.values():
            covers.pop(by, None)

    def status(self, person: str, card: date | None) -> str:
        told = [(cover.final, cover.covers(card)) for cover in self.in_force.get(person, {}).values()]
        if (True, True) in told:
            return "void"
        if (False, True) in told:
            return "reported"
        return "indeterminate" if any(yes is None for _, yes in told) else "clear"
