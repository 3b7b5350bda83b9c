"""The card instance: which of the cards of one number is meant, as far as the caller says.

Days are counted from 1980-01-01 in 16 bits, as the packed record keeps them (to 2159). A day before 1980 counts as
day 0. No card with a `valid_from` is that old: resident identity cards were first issued in 1984 (State Council, Trial
Regulations on Resident Identity Cards, 6 April 1984), permanent residence cards in 2004, residence permits in 2018.
So the clamp joins no two cards that exist, and where it errs it covers more, never less.
"""

import re
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from typing import Final, NamedTuple

from lostid.domain.canonical import Canonical, plain
from lostid.domain.documents import TYPES
from lostid.domain.errors import Refusal
from lostid.domain.keys import serial_tag
from lostid.domain.terms import issue_days

_DAY_ZERO: Final = date(1980, 1, 1).toordinal()
LAST_DAY: Final = 0xFFFF
_FIELDS: Final = ("valid_from", "valid_until", "issue_no", "card_serial")
_LONG_TERM: Final = "long-term"
_DATE_LENGTH: Final = 10
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch
_SERIAL_LENGTH: Final = 13
_SERIAL_WRITING_LIMIT: Final = 64
_ISSUE_NUMBERS: Final = range(100)
_FOREIGN: Final = {row.name: frozenset(_FIELDS) - row.fields for row in TYPES.values()}


def day_number(day: date) -> int:
    """Days since 1980-01-01, clamped to 16 bits: 0 stands for that day and all before it."""
    number = day.toordinal() - _DAY_ZERO
    return number if 0 <= number <= LAST_DAY else (0 if number < 0 else LAST_DAY)


def day_of(number: int) -> date:
    return date.fromordinal(_DAY_ZERO + number)


class Instance(NamedTuple):
    """One card, by the one thing that tells it from the others of its number. Nothing set: the instance is missing."""

    days: tuple[int, ...] = ()
    """The days on which the card may have been issued: one, or several where `valid_until` leaves a doubt."""
    issue_no: int | None = None
    serial: str | None = None
    serial_tag: bytes | None = None

    @property
    def points(self) -> tuple[int, ...]:
        """Where the card stands in the order of the cards of its number: one point for each candidate."""
        return self.days if self.issue_no is None else (self.issue_no,)

    def tagged(self, tag_key: bytes, key: bytes) -> "Instance":
        """The instance as records under `key` know it: a serial is compared by its keyed tag."""
        if self.serial is None:
            return self
        return self._replace(serial_tag=serial_tag(tag_key, key, self.serial))


MISSING: Final = Instance()


def instance_of(fields: Mapping[str, object], canonical: Canonical, today: date) -> Instance:
    """The instance that a document names. Reads the four instance fields of `fields`, None meaning absent.

    A field of another type is refused before any value is looked at.
    """
    row = TYPES[canonical.type]
    if not _FOREIGN[row.name].isdisjoint(fields):
        for name in _FIELDS:
            if name not in row.fields and fields.get(name) is not None:
                raise Refusal("instance_not_applicable", f"/{name}")
    get = fields.get
    if row.instance == "valid_from":
        return _by_day(get("valid_from"), get("valid_until"), canonical, today)
    if row.instance == "issue_no":
        return _by_issue_no(get("issue_no"), canonical.issue_no)
    if row.instance == "card_serial":
        return _by_serial(get("card_serial"))
    return MISSING


def _invalid(field: str) -> Refusal:
    return Refusal("instance_invalid", f"/{field}")


def _by_issue_no(named: object, appended: int | None) -> Instance:
    """The count, from its field or from the end of the number; where both are there they agree."""
    if named is None:
        return MISSING if appended is None else Instance(issue_no=appended)
    if type(named) is not int or named not in _ISSUE_NUMBERS or appended not in (None, named):
        raise _invalid("issue_no")
    return Instance(issue_no=named)


def _by_serial(written: object) -> Instance:
    if written is None:
        return MISSING
    text = plain(written) if isinstance(written, str) and len(written) <= _SERIAL_WRITING_LIMIT else None
    if text is None or len(text) != _SERIAL_LENGTH:
        raise _invalid("card_serial")
    return Instance(serial=text)


def _by_day(valid_from: object, valid_until: object, canonical: Canonical, today: date) -> Instance:
    """`valid_from` decides where it is given; a `valid_until` beside it must at least be later."""
    end = None if valid_until in (None, _LONG_TERM) else _date(valid_until, "valid_until")
    if valid_from is not None:
        start = _date(valid_from, "valid_from")
        if start > today or (canonical.birth is not None and start < canonical.birth):
            raise _invalid("valid_from")
        if end is not None and end <= start:
            raise _invalid("valid_until")
        return _issued_on(start)
    if end is None or canonical.birth is None:
        return MISSING
    starts = issue_days(end, canonical.birth, today)
    if not starts:
        raise _invalid("valid_until")
    return Instance(days=tuple(sorted({day_number(start) for start in starts})))


@lru_cache(maxsize=32_768)
def _issued_on(day: date) -> Instance:
    """Instances are immutable, and the same days come again and again."""
    return Instance(days=(day_number(day),))


def _date(written: object, field: str) -> date:
    day = _day(written) if isinstance(written, str) and len(written) == _DATE_LENGTH else None
    if day is None:
        raise _invalid(field)
    return day


@lru_cache(maxsize=32_768)
def _day(written: str) -> date | None:
    """The same days come again and again: ninety years of them are remembered."""
    # fromisoformat takes week dates and dates without hyphens too; the contract does not.
    if _DATE(written) is None:
        return None
    try:
        return date.fromisoformat(written)
    except ValueError:
        return None
