"""The 18-character number of the person, GB 11643-1999: area, birth date, sequence, check character.

Area codes are not looked up (real residence permits use 81 to 83, permanent residents 9xxxxx); only the lead of the
number is read, because it decides the type.
"""

import re
from datetime import date
from operator import mul
from typing import Final

from .documents import FOREIGN_PERMANENT_RESIDENT, RESIDENCE_PERMIT, RESIDENT_ID

_SHAPE: Final = re.compile(r"[0-9]{17}[0-9X]").fullmatch
_SYNTHETIC_AREA: Final = "990000"
_OLDEST_YEAR: Final = 1800

# ISO 7064 MOD 11-2 as GB 11643 writes it: weights 2^(18-i) mod 11, and the character for each remainder.
_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHARACTERS: Final = "10X98765432"
_ZEROES: Final = 48 * sum(_WEIGHTS)  # the digits are weighed as ASCII codes

# What the first character decides; 8 and 9 are told apart by what follows.
_BY_LEAD: Final = dict.fromkeys("1234567", RESIDENT_ID)


def has_shape(text: str) -> bool:
    """17 digits, then a digit or X. `text` must be ASCII."""
    return _SHAPE(text) is not None


def type_of(number: str) -> str | None:
    """The type that a number with this lead belongs to, where it belongs to one. The licence bears them all."""
    by_lead = _BY_LEAD.get(number[:1])
    if by_lead is not None:
        return by_lead
    if number[:1] == "9":
        return RESIDENT_ID if number.startswith(_SYNTHETIC_AREA) else FOREIGN_PERMANENT_RESIDENT
    if number[:2] in ("81", "82", "83"):
        return RESIDENCE_PERMIT
    return None


def check_character(first17: str) -> str:
    """The 18th character that belongs to 17 digits."""
    return _CHARACTERS[(sum(map(mul, _WEIGHTS, first17.encode())) - _ZEROES) % 11]


def birth_date(number: str, today: date) -> date | None:
    """The birth date in a number of the right shape, or None: no such day, before 1800, or after `today`."""
    try:
        birth = date.fromisoformat(number[6:14])
    except ValueError:
        return None
    return birth if birth.year >= _OLDEST_YEAR and birth <= today else None


def from_first_generation(fifteen: str) -> str | None:
    """The 18-character form of a 15-digit number (GB 11643-1989), or None where no such number was given out.

    The century is 19: the form ended in 1999. (Sequences 996 to 999, kept for people born before 1900, are not read as
    another century: two forms of one card must have one key, and the cards that bore them are long void.)
    """
    if len(fifteen) != 15 or not fifteen.isdigit() or type_of(fifteen) != RESIDENT_ID:
        return None
    first17 = fifteen[:6] + "19" + fifteen[6:]
    return first17 + check_character(first17)
