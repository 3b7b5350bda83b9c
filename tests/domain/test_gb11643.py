"""The number of the person: check character, birth date, lead, first generation."""

from datetime import date

from hypothesis import given
from hypothesis import strategies as st
from stdnum.cn import ric

from lostid.domain import gb11643
from lostid.domain.documents import FOREIGN_PERMANENT_RESIDENT, RESIDENCE_PERMIT, RESIDENT_ID
from tests.domain.drawing import DIGITS, TODAY, person_numbers, text_of


@given(text_of(DIGITS, 17))
def test_check_character(first17: str) -> None:
    """The check character is the one that python-stdnum computes."""
    assert gb11643.check_character(first17) == ric.calc_check_digit(first17 + "0")


@given(person_numbers(), st.integers(0, 16), st.integers(1, 9))
def test_one_digit(number: str, place: int, shift: int) -> None:
    """One wrong digit anywhere is found."""
    wrong = number[:place] + str((int(number[place]) + shift) % 10) + number[place + 1 :]
    assert gb11643.check_character(wrong[:17]) != wrong[17]


@given(person_numbers(), st.integers(0, 15))
def test_swapped(number: str, place: int) -> None:
    """Two neighbours swapped are found, unless they are the same."""
    first17 = number[:17]
    swapped = first17[:place] + first17[place + 1] + first17[place] + first17[place + 2 :]
    assert swapped == first17 or gb11643.check_character(swapped) != number[17]


def test_lead() -> None:
    """The lead decides the type; 0, 84 to 89 and 80 belong to none."""
    assert {gb11643.type_of(lead) for lead in ("1", "7", "990000")} == {RESIDENT_ID}
    assert {gb11643.type_of(lead) for lead in ("81", "82", "83")} == {RESIDENCE_PERMIT}
    assert {gb11643.type_of(lead) for lead in ("9", "91", "990001")} == {FOREIGN_PERMANENT_RESIDENT}
    assert {gb11643.type_of(lead) for lead in ("", "0", "80", "84", "8", "X", "A")} == {None}


def test_birth_date() -> None:
    """A day that never was, a year before 1800 or a day after today is no birth date."""
    born = {
        "18000101": date(1800, 1, 1),
        "20240229": date(2024, 2, 29),
        "20261122": TODAY,
        "20261123": None,
        "20230229": None,
        "17991231": None,
        "19000229": None,
        "00000000": None,
        "19900431": None,
    }
    assert {day: gb11643.birth_date("110105" + day + "0020", TODAY) for day in born} == born


@given(st.one_of(person_numbers(), text_of("0123456789X8", 18), st.text(max_size=20)))
def test_read(number: str) -> None:
    """Reading a number at once finds right what asking for each of its parts finds right, and nothing else."""
    expected = None
    if gb11643.has_shape(number):
        type_, birth = gb11643.type_of(number), gb11643.birth_date(number, TODAY)
        if type_ is not None and birth is not None and gb11643.check_character(number[:17]) == number[17]:
            expected = type_, birth
    assert gb11643.read(number, TODAY) == expected


@given(person_numbers(), st.integers(0, 17), st.sampled_from("０٣²xX \u200b"))
def test_read_other_characters(number: str, place: int, other: str) -> None:
    """A character that is none of the standard's makes a number that is not read."""
    wrong = number[:place] + other + number[place + 1 :]
    assert wrong == number or gb11643.read(wrong, TODAY) is None
