"""The card instance: what a document's own fields say, and what they may not say."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lostid.domain.canonical import Canonical, canonicalise
from lostid.domain.documents import (
    CN_PASSPORT,
    DRIVING_LICENCE,
    HK_MACAU_PERMIT,
    RESIDENCE_PERMIT,
    RESIDENT_ID,
    TYPES,
)
from lostid.domain.errors import Refusal
from lostid.domain.instance import LAST_DAY, MISSING, Instance, day_number, day_of, instance_of
from tests.domain.drawing import KEYRING, TODAY

RESIDENT = canonicalise(RESIDENT_ID, "110105199006150012", None, TODAY)  # born 15 June 1990
PERMIT = Canonical(HK_MACAU_PERMIT, "H12345678")
COUNTED = Canonical(HK_MACAU_PERMIT, "H12345678", issue_no=3)
LICENCE = Canonical(DRIVING_LICENCE, "H12345678")


def days(*written: str) -> Instance:
    return Instance(days=tuple(day_number(date.fromisoformat(day)) for day in written))


@pytest.mark.parametrize(
    ("canonical", "fields", "instance"),
    [
        (RESIDENT, {}, MISSING),
        (RESIDENT, {"valid_from": None, "valid_until": None}, MISSING),
        (RESIDENT, {"valid_from": "2015-03-01"}, days("2015-03-01")),
        (RESIDENT, {"valid_from": "1990-06-15"}, days("1990-06-15")),
        (RESIDENT, {"valid_from": TODAY.isoformat()}, days(TODAY.isoformat())),
        (RESIDENT, {"valid_from": "2015-03-01", "valid_until": "2025-03-01"}, days("2015-03-01")),
        (RESIDENT, {"valid_from": "2015-03-01", "valid_until": "long-term"}, days("2015-03-01")),
        (RESIDENT, {"valid_until": "2018-04-01"}, days("2008-04-01")),
        (RESIDENT, {"valid_until": "2016-07-15"}, days("2006-07-15", "2011-07-15")),
        (RESIDENT, {"valid_until": "long-term"}, MISSING),
        (PERMIT, {}, MISSING),
        (PERMIT, {"issue_no": 0}, Instance(issue_no=0)),
        (PERMIT, {"issue_no": 99}, Instance(issue_no=99)),
        (COUNTED, {}, Instance(issue_no=3)),
        (COUNTED, {"issue_no": 3}, Instance(issue_no=3)),
        (LICENCE, {}, MISSING),
        (LICENCE, {"card_serial": "3301-0000 0000x"}, Instance(serial="330100000000X")),
        (Canonical(CN_PASSPORT, "E12345678"), {"type": CN_PASSPORT, "number": "E12345678"}, MISSING),
    ],
)
def test_named(canonical: Canonical, fields: dict[str, object], instance: Instance) -> None:
    """The fields name this instance; fields that are absent or null name none."""
    assert instance_of(fields, canonical, TODAY) == instance


WRONG_DATES = [
    "2015-02-29",
    "20150301",
    "2015-W09-7",
    "2015-3-1",
    "",
    "2015-03-01T00:00",
    "٢٠١٥-٠٣-٠١",
    "0000-01-01",
    20150301,
]
WRONG_SERIALS = [
    "",
    "330100000000",
    "33010000000000",
    "330100000000?",
    "３301000000000",
    " " * 65 + "3301000000000",
    3301000000000,
]


@pytest.mark.parametrize(
    ("canonical", "fields"),
    [
        *((RESIDENT, {"valid_from": wrong}) for wrong in WRONG_DATES),
        *((RESIDENT, {"valid_until": wrong}) for wrong in [*WRONG_DATES, "longterm"]),
        (RESIDENT, {"valid_from": "long-term"}),
        (RESIDENT, {"valid_from": (TODAY + timedelta(days=1)).isoformat()}),
        (RESIDENT, {"valid_from": "1990-06-14"}),
        (RESIDENT, {"valid_until": "2013-01-01"}),
        (RESIDENT, {"valid_until": "2051-01-01"}),
        *((PERMIT, {"issue_no": wrong}) for wrong in (-1, 100, "1", 1.0, True)),
        (COUNTED, {"issue_no": 2}),
        *((LICENCE, {"card_serial": wrong}) for wrong in WRONG_SERIALS),
    ],
)
def test_invalid(canonical: Canonical, fields: dict[str, object]) -> None:
    """A value that no card can bear is refused, at its field."""
    with pytest.raises(Refusal) as refused:
        instance_of(fields, canonical, TODAY)
    assert (refused.value.code, refused.value.pointer) == ("instance_invalid", "/" + next(iter(fields)))


@pytest.mark.parametrize(
    ("valid_until", "pointer"), [("2015-03-01", "/valid_until"), ("2014-03-01", "/valid_until"), ("x", "/valid_until")]
)
def test_both(valid_until: str, pointer: str) -> None:
    """An end beside the start is later than the start, though nothing else is asked of it."""
    with pytest.raises(Refusal) as refused:
        instance_of({"valid_from": "2015-03-01", "valid_until": valid_until}, RESIDENT, TODAY)
    assert (refused.value.code, refused.value.pointer) == ("instance_invalid", pointer)


@pytest.mark.parametrize("type", sorted(TYPES))
def test_not_applicable(type: str) -> None:
    """A field of another type is refused, before any value is looked at."""
    canonical = Canonical(type, "H12345678")
    for field in {"valid_from", "valid_until", "issue_no", "card_serial"} - set(TYPES[type].fields):
        with pytest.raises(Refusal) as refused:
            instance_of({field: "?", **dict.fromkeys(TYPES[type].fields, "?")}, canonical, TODAY)
        assert (refused.value.code, refused.value.pointer) == ("instance_not_applicable", f"/{field}")


def test_no_birth() -> None:
    """A number that tells no birth date takes any start up to today."""
    old_form = Canonical("cn.foreign-permanent-resident", "ABC110190010199")
    assert instance_of({"valid_from": "2015-03-01"}, old_form, TODAY) == days("2015-03-01")


def test_residence_permit() -> None:
    """`valid_until` stands for a start with resident identity cards alone: the terms of other cards differ."""
    permit = canonicalise(RESIDENCE_PERMIT, "810000199408230021", None, TODAY)
    with pytest.raises(Refusal) as refused:
        instance_of({"valid_until": "2030-01-01"}, permit, TODAY)
    assert refused.value.code == "instance_not_applicable"


@given(st.dates(), st.dates())
def test_days(one: date, other: date) -> None:
    """Day numbers keep the order of days from 1980 to 2159, and never turn it round outside."""
    assert (day_number(one) <= day_number(other)) >= (one <= other)
    assert 0 <= day_number(one) <= LAST_DAY
    if date(1980, 1, 1) <= one <= date(2159, 6, 6):
        assert day_of(day_number(one)) == one


def test_day_borders() -> None:
    """16 bits hold the days from 1980-01-01 to 2159-06-06."""
    assert (day_of(0), day_of(LAST_DAY)) == (date(1980, 1, 1), date(2159, 6, 6))
    assert day_number(date.min) == 0
    assert day_number(date.max) == LAST_DAY


def test_tagged() -> None:
    """A serial is known to records by its keyed tag; other instances need none."""
    named = Instance(serial="3301000000001")
    assert named.tagged(KEYRING.record_tag_key, b"k" * 16).serial_tag == KEYRING.serial_tag(b"k" * 16, "3301000000001")
    dated = days("2015-03-01")
    assert dated.tagged(KEYRING.record_tag_key, b"k" * 16) is dated
