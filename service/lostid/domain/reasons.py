"""The reasons for a report, as data."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Reason:
    """What follows from a reason."""

    name: str
    final: bool
    """Final: `void`. Otherwise reversible: `reported`."""
    card_in_hand: bool = False
    """The reporter holds the card and must name it."""
    number_wide: bool = False
    """Without an instance every card of the number is covered, for good; no day needs to be compared."""


REASONS: Final[Mapping[str, Reason]] = MappingProxyType(
    {
        row.name: row
        for row in (
            Reason("lost", final=False),
            Reason("stolen", final=False),
            Reason("found", final=False, card_in_hand=True),
            Reason("seized", final=False, card_in_hand=True),
            Reason("replaced", final=True),
            Reason("cancelled", final=True, number_wide=True),
            Reason("deceased", final=True, number_wide=True),
        )
    }
)
