"""Canaries: documents that are always reported, asked about on every road once a second.

A canary that reads as clear shows that a road would clear a reported card as well. Where that road decides alone (the
host's own map, the ledger) the host's answers stop at once; Redis decides nothing, and a record that is missing there
is an alarm, for the ledger has the last word on every miss.

Pure: what was seen comes in, what holds now goes out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Road(Enum):
    MAP = "map"
    REGISTRY = "registry"
    LEDGER = "ledger"


class Sight(Enum):
    THERE = "there"
    CLEAR = "clear"
    UNKNOWN = "unknown"  # nobody answered in time, or nothing is loaded: neither alarm nor all-clear


DECIDING = frozenset({Road.MAP, Road.LEDGER})


@dataclass(frozen=True, slots=True)
class Health:
    """The roads on which a canary was clear when it was last seen at all."""

    broken: frozenset[Road] = frozenset()

    @property
    def halted(self) -> bool:
        """This worker answers nothing but 503."""
        return not self.broken.isdisjoint(DECIDING)


def look(health: Health, seen: Mapping[Road, Sight]) -> Health:
    """One round. A road stays broken until the canaries have been seen there again."""
    clear = {road for road, sight in seen.items() if sight is Sight.CLEAR}
    there = {road for road, sight in seen.items() if sight is Sight.THERE}
    return Health((health.broken | clear) - there)
