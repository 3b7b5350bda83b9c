"""From `valid_until` to the days on which the card may have been issued.

Resident Identity Card Law, article 5: a card is good for 5 years when issued under 16, for 10 from 16, for 20 from 26,
and long-term from 46. With the birth date in the number, the printed end gives the start, but for two doubts: close to
an age at which the term changes both terms are tried, and 29 February has no anniversary in most years.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Final

# (term in years, age at issue from, age at issue below)
_TERMS: Final = ((5, 0, 16), (10, 16, 26), (20, 26, 46))
_NEAR: Final = timedelta(days=90)


def issue_days(until: date, birth: date, today: date) -> tuple[date, ...]:
    """Every day on which a card that ends on `until` may have been issued; none where no legal term fits."""
    if until <= birth:
        return ()
    days = {day for term in _terms_tried(until, birth) for day in _starts(until, term) if birth <= day <= today}
    return tuple(sorted(days))


def _terms_tried(until: date, birth: date) -> Iterator[int]:
    """The terms whose ages fit, and beside an age edge the neighbour's as well."""
    for index, (term, from_age, to_age) in enumerate(_TERMS):
        low, high = anniversary(birth, from_age), anniversary(birth, to_age)
        for day in _starts(until, term):
            # Birth is no edge between terms, and nobody has a card before it.
            if not (low if index == 0 else low - _NEAR) <= day <= high + _NEAR:
                continue
            yield term
            if index > 0 and abs(day - low) <= _NEAR:
                yield _TERMS[index - 1][0]
            if index + 1 < len(_TERMS) and abs(day - high) <= _NEAR:
                yield _TERMS[index + 1][0]


def _starts(until: date, term: int) -> tuple[date, ...]:
    """The days whose term of years may be printed as ending on `until`."""
    year = until.year - term
    if year < 1:
        return ()
    here, leap = (until.month, until.day), is_leap(year)
    if here == (2, 29):
        return (date(year, 2, 29),) if leap else (date(year, 2, 28), date(year, 3, 1))
    same_day = date(year, *here)
    if leap and not is_leap(until.year) and here in ((2, 28), (3, 1)):
        return (same_day, date(year, 2, 29))
    return (same_day,)


def anniversary(day: date, years: int) -> date:
    """The same day `years` later; of 29 February, 1 March where the year has none."""
    year = day.year + years
    if (day.month, day.day) == (2, 29) and not is_leap(year):
        return date(year, 3, 1)
    return day.replace(year=year)


def is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
