"""Synthetic holders: resident ID numbers in area 990000, which no real person has, with right check digits."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)  # GB 11643-1999, table of weights
_CHECK = "10X98765432"
_FIRST_BIRTH = date(1920, 1, 1)
_BIRTHS = 30_000  # days
# The sandbox keeps the births of 1900 for its magic numbers; ours are younger.

OLD_CARD = "2014-05-01"
NEW_CARD = "2021-09-01"


@dataclass(frozen=True, slots=True)
class Holder:
    """A person with a number; ``kind`` says what is known of the card (see ``scenario.KINDS``)."""

    number: str
    kind: str

    @property
    def document(self) -> dict[str, str]:
        """What a desk sends: the card that this holder shows."""
        document = {"type": "cn.resident-id", "number": self.number}
        if self.kind != "no_instance":
            document["valid_from"] = NEW_CARD if self.kind == "replaced" else OLD_CARD
        return document


def number_of(serial: int) -> str:
    """The ``serial``-th synthetic number; below 30 million they are all different."""
    birth = _FIRST_BIRTH + timedelta(days=serial % _BIRTHS)
    body = f"990000{birth:%Y%m%d}{serial // _BIRTHS % 1000:03d}"
    check = _CHECK[sum(int(digit) * weight for digit, weight in zip(body, _WEIGHTS, strict=True)) % 11]
    return body + check


class Population:
    """The holders of one driver process. Processes of one run never share a number."""

    _SHARE = 2_000_000
    # Each kind has its own numbers, whatever the scenario: a server that was loaded before, by another scenario or by
    # this one, knows nothing of a card that nobody is to have reported.
    _REPORTED, _REPLACED, _TO_REPORT = 1_500_000, 1_600_000, 1_700_000

    def __init__(self, process: int, reported: int, replaced: int, rng: random.Random) -> None:
        first = process * self._SHARE
        self._next = first
        self._next_report = first + self._TO_REPORT
        self._rng = rng
        self.reported = [Holder(number_of(first + self._REPORTED + i), "reported") for i in range(reported)]
        self.replaced = [Holder(number_of(first + self._REPLACED + i), "replaced") for i in range(replaced)]
        self.no_instance = [Holder(holder.number, "no_instance") for holder in self.reported]

    def fresh(self) -> Holder:
        """A holder nobody has asked about before in this run."""
        self._next += 1
        return Holder(number_of(self._next), "unreported")

    def to_report(self) -> Holder:
        """A holder who loses the card during the run."""
        self._next_report += 1
        return Holder(number_of(self._next_report), "unreported")

    def pick(self, mix: dict[str, float]) -> Holder:
        """A holder by the mix."""
        kind = self._rng.choices(list(mix), weights=list(mix.values()))[0]
        if kind == "unreported":
            return self.fresh()
        holders: list[Holder] = getattr(self, kind)
        return self._rng.choice(holders)

    def reports(self) -> Iterator[dict[str, object]]:
        """The reports that make the population true."""
        for holder in self.reported:
            yield {"document": holder.document, "reason": "lost", "effective_at": "2020-01-01"}
        for holder in self.replaced:
            document = {"type": "cn.resident-id", "number": holder.number}
            yield {"document": document, "reason": "replaced", "replaced_by": {"valid_from": NEW_CARD}}
