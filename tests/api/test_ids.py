"""Ids: made ones, and numbers hidden in the callers' own."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lostid.api.ids import Ids, reads_as_number

NUMBER = "11010519491231002X"


@pytest.mark.parametrize(
    "text",
    [
        NUMBER,
        NUMBER.lower(),
        "110105-19491231-002X",
        "1.1.0.1.0.5/1949_1231:002 x",
        f"booking:{NUMBER}",
        f"77{NUMBER}99",
        f"x{NUMBER}y",
        "440524188001010014",
        "810000199408230021",
        "990000190001010016",
        f"{NUMBER[:9]}----{NUMBER[9:]}",
    ],
)
def test_reads_as_number(text: str) -> None:
    """However it is broken up or surrounded, a person reads a number there."""
    assert reads_as_number(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "booking-991",
        "110105194912310021",  # the check digit is wrong
        "11010519491331002X",  # no such month
        "01010519491231002X",  # no area begins with 0
        "11010519491231002",  # 17 digits
        "20261120093000123456",  # a time and a counter
        "A-2026-11-0031",
        "1101051949a1231002X",
        "\uff11" * 18,
    ],
)
def test_does_not(text: str) -> None:
    """References of the usual kinds are none."""
    assert not reads_as_number(text)


@given(st.integers(10**17, 10**18 - 1))
def test_few_false_alarms(number: int) -> None:
    """Of 18 digits drawn blindly hardly any is a number; all that is, has an area, a birth date and a check digit."""
    if reads_as_number(str(number)):
        assert re.fullmatch(r"[1-9]\d{5}(18|19|20)\d{2}[01]\d[0-3]\d\d{4}", str(number))


def test_made() -> None:
    """Made ids differ, sort by time, and have the form that the routes expect."""
    made = Ids()
    ids = [made.new("rpt_", 1_795_000_000_000 + n) for n in range(1000)]
    assert len(set(ids)) == 1000
    assert ids == sorted(ids)
    assert all(re.fullmatch(r"rpt_[0-9a-f]{32}", id_) for id_ in ids)
    assert len({id_[16:] for id_ in ids}) == 1000


def test_of_request() -> None:
    """A good Request-Id is kept, a bad one replaced, and one that is a number is told and replaced."""
    made = Ids()
    assert made.of_request(b"request_1-A") == ("request_1-A", False)
    for bad in (None, b"", b"short", b"x" * 65, b"with space", b"caf\xc3\xa9-1234"):
        name, numbered = made.of_request(bad)
        assert name.startswith("req_")
        assert not numbered
    name, numbered = made.of_request(NUMBER.encode())
    assert numbered
    assert NUMBER not in name
