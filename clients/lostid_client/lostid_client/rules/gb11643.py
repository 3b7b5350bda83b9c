"""The 18-character number of the person, GB 11643-1999: area, birth date, sequence, check character.

Area codes are not looked up (real residence permits use 81 to 83, permanent residents 9xxxxx); only the lead of the
number is read, because it decides the type.
"""

import re
from datetime import date
from functools import lru_cache
from typing import Final

from lostid_client.rules.documents import FOREIGN_PERMANENT_RESIDENT, RESIDENCE_PERMIT, RESIDENT_ID

# 17 digits, then a digit or X.
has_shape: Final = re.compile(r"[0-9]{17}[0-9X]").fullmatch
_SYNTHETIC_AREA: Final = "990000"
_OLDEST_YEAR: Final = 1800

# ISO 7064 MOD 11-2: the character for each remainder.
_CHARACTERS: Final = "10X98765432"
_ZEROES: Final = 48 * 100  # the digits are weighed as ASCII codes; the weights add up to 100


def type_of(number: str) -> str | None:
    """The type that a number with this lead belongs to, where it belongs to one. The licence bears them all."""
    if "1" <= number < "8":  # as text: the first character decides
        return RESIDENT_ID
    if number[:1] == "9":
        return RESIDENT_ID if number.startswith(_SYNTHETIC_AREA) else FOREIGN_PERMANENT_RESIDENT
    if number[:2] in ("81", "82", "83"):
        return RESIDENCE_PERMIT
    return None


def check_character(first17: str) -> str:
    """The 18th character that belongs to 17 digits."""
    # Unrolled: the dearest step of a check. The weights are 2^(18-i) mod 11, so 7 9 10 5 8 4 2 1 6 3, and again.
    a, b, c, d, e, f, g, h, i, j, k, m, n, p, q, r, s = first17.encode()
    weighed = 7 * (a + k) + 9 * (b + m) + 10 * (c + n) + 5 * (d + p) + 8 * (e + q) + 4 * (f + r) + 2 * (g + s)
    return _CHARACTERS[(weighed + h + 6 * i + 3 * j - _ZEROES) % 11]


def birth_date(number: str, today: date) -> date | None:
    """The birth date in a number of the right shape, or None: no such day, before 1800, or after `today`."""
    try:
        birth = date.fromisoformat(number[6:14])
    except ValueError:
        return None
    return birth if birth.year >= _OLDEST_YEAR and birth <= today else None


def read(number: str, today: date) -> tuple[str, date] | None:
    """Type and birth date of a number that is right throughout, or None for every other.

    The same as asking each of the functions above, at a third of the cost: areas and days come again and again, and
    what they add to the weighed sum is remembered. Nothing of a number is remembered as a whole."""
    area, day, sequence = _area(number[:6]), _day(number[6:14]), _SEQUENCES.get(number[14:17])
    if area is None or day is None or sequence is None:
        return None
    type_, of_area = area
    birth, of_day = day
    if birth > today or number[17:] != _CHARACTERS[(of_area + of_day + sequence) % 11]:
        return None
    return type_, birth


def _weighed(digits: str, first: int) -> int:
    """What digits add to the sum, the first of them standing at place `first` (from 0) of the number."""
    return sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(digits, first))


@lru_cache(maxsize=8_192)  # there are some 6,500 areas, abolished ones included
def _area(area: str) -> tuple[str, int] | None:
    type_ = type_of(area)
    return None if type_ is None or not _is_digits(area, 6) else (type_, _weighed(area, 0))


@lru_cache(maxsize=65_536)  # the days of 180 years
def _day(day: str) -> tuple[date, int] | None:
    birth = birth_date("000000" + day, date.max) if _is_digits(day, 8) else None
    return None if birth is None else (birth, _weighed(day, 6))


def _is_digits(text: str, length: int) -> bool:
    return len(text) == length and text.isascii() and text.isdigit()


_SEQUENCES: Final = {f"{n:03d}": _weighed(f"{n:03d}", 14) for n in range(1000)}


def from_first_generation(fifteen: str) -> str | None:
    """The 18-character form of a 15-digit number (GB 11643-1989), or None where no such number was given out.

    The century is 19: the form ended in 1999. (Sequences 996 to 999, kept for people born before 1900, are not read as
    another century: two forms of one card must have one key, and the cards that bore them are long void.)
    """
    if len(fifteen) != 15 or not fifteen.isdigit() or type_of(fifteen) != RESIDENT_ID:
        return None
    first17 = fifteen[:6] + "19" + fifteen[6:]
    return first17 + check_character(first17)
