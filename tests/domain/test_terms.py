"""`valid_until`: the day of issue is always among the candidates."""

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lostid.domain.terms import anniversary, is_leap, issue_days
from tests.domain.drawing import TODAY

BIRTHS = st.dates(date(1930, 1, 1), date(2020, 12, 31))


def term_at(birth: date, day: date) -> int | None:
    """Article 5, read off the ages."""
    for term, below in ((5, 16), (10, 26), (20, 46)):
        if day < anniversary(birth, below):
            return term
    return None


def printed_ends(start: date, term: int) -> list[date]:
    """How an office may print the end of a term: 29 February becomes a neighbour where the year has none."""
    year = start.year + term
    if (start.month, start.day) == (2, 29) and not is_leap(year):
        return [date(year, 2, 28), date(year, 3, 1)]
    return [start.replace(year=year)]


@settings(max_examples=500)
@given(st.data(), BIRTHS, st.integers(-90, 90))
def test_found(data: st.DataObject, birth: date, late: int) -> None:
    """The day of issue is among the candidates, also where the term is that of up to 90 days before or after."""
    start = data.draw(st.dates(birth, TODAY))
    if data.draw(st.booleans()):  # 29 February more often than chance brings it
        start = date(start.year - start.year % 4, 2, 29)
    term = term_at(birth, max(birth, start - timedelta(days=late)))
    if term is not None and birth <= start <= TODAY:
        for until in printed_ends(start, term):
            assert start in issue_days(until, birth, TODAY)


@settings(max_examples=500)
@given(BIRTHS, st.dates(date(1935, 1, 1), date(2070, 1, 1)))
def test_bounded(birth: date, until: date) -> None:
    """Candidates are in order, lie between birth and today, and end where the card says, give or take a 29 February."""
    days = issue_days(until, birth, TODAY)
    assert list(days) == sorted(set(days))
    for day in days:
        assert birth <= day <= TODAY
        assert min(abs(anniversary(day, term) - until) for term in (5, 10, 20)) <= timedelta(days=1)


BORN = date(1990, 6, 15)


@pytest.mark.parametrize(
    ("until", "days"),
    [
        ("2003-03-01", ["1998-03-01"]),  # issued at 7, for 5 years
        ("2018-04-01", ["2008-04-01"]),  # at 17, for 10
        ("2040-03-01", ["2020-03-01"]),  # at 29, for 20
        # 75 days before 16 years: five years from then, or ten from an earlier start
        ("2011-04-01", ["2001-04-01", "2006-04-01"]),
        # a month after 16 years: ten years, or five from a later start
        ("2016-07-15", ["2006-07-15", "2011-07-15"]),
        # a month before and after 26 years: ten or twenty
        ("2026-05-15", ["2006-05-15", "2016-05-15"]),
        ("2036-07-15", ["2016-07-15", "2026-07-15"]),
        # 90 days past the edge there is doubt, 91 days past it none
        ("2016-09-13", ["2006-09-13", "2011-09-13"]),
        ("2016-09-14", ["2006-09-14"]),
        ("2026-09-13", ["2006-09-13", "2016-09-13"]),
        ("2026-09-14", []),
        ("2036-03-17", ["2016-03-17", "2026-03-17"]),
        ("2036-03-16", []),
        # no legal term ends then: at 17 for 5 years, at 12 for 10; at 50 for 20; at birth and before it
        ("2013-01-01", []),
        ("2061-06-15", []),
        ("1990-06-15", []),
        ("1980-01-01", []),
        # 29 February
        ("2018-02-28", ["2008-02-28", "2008-02-29"]),
        ("2018-03-01", ["2008-02-29", "2008-03-01"]),
        ("2020-02-29", ["2010-02-28", "2010-03-01"]),
        ("2040-02-29", ["2020-02-29"]),
    ],
)
def test_days(until: str, days: list[str]) -> None:
    """The candidates of somebody born on 15 June 1990."""
    assert [day.isoformat() for day in issue_days(date.fromisoformat(until), BORN, TODAY)] == days


def test_future() -> None:
    """A start that lies in the future is no candidate."""
    until, start = date(2036, 7, 15), date(2016, 7, 15)
    assert issue_days(until, BORN, date(2026, 7, 15)) == (start, date(2026, 7, 15))
    assert issue_days(until, BORN, date(2026, 7, 14)) == (start,)
    assert issue_days(until, BORN, date(2016, 7, 14)) == ()


def test_unborn() -> None:
    """Nobody has a card before birth."""
    assert issue_days(date(2009, 2, 28), date(2004, 2, 29), TODAY) == (date(2004, 2, 29),)


def test_extremes() -> None:
    """The first and the last years of the calendar are no trouble."""
    for until in (date.min, date(5, 1, 1), date.max):
        assert issue_days(until, date(1800, 1, 1), TODAY) == ()
