"""The canonicaliser: one form for every way to write a card, and a named refusal for everything else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lostid.domain.canonical import FIRST_GENERATION, WRITING_LIMIT, Canonical, canonicalise
from lostid.domain.documents import (
    CN_PASSPORT,
    DRIVING_LICENCE,
    FOREIGN_PERMANENT_RESIDENT,
    HK_MACAU_PERMIT,
    ICAO_PASSPORT,
    RESIDENCE_PERMIT,
    RESIDENT_ID,
    TAIWAN_PERMIT,
    TYPES,
)
from lostid.domain.errors import REFUSALS, Refusal
from tests.domain.drawing import KEYRING, LEADS, NUMBERS, TODAY, Card, cards, person_numbers, writings

GOOD = "11010519491231002X"
EVERY_TYPE = st.sampled_from(sorted(TYPES))
STRANGE = st.text(st.characters(), max_size=40)  # every code point, lone surrogates and NUL among them


def refused_as(type: str, number: str, state: str | None = None) -> tuple[str, str, str | None]:
    with pytest.raises(Refusal) as caught:
        canonicalise(type, number, state, TODAY)
    return caught.value.code, caught.value.pointer, caught.value.expected


@settings(max_examples=200)
@given(st.data(), cards())
def test_one_card_one_key(data: st.DataObject, card: Card) -> None:
    """Every accepted way to write a card yields the key of its canonical form."""
    number, state = data.draw(writings(card))
    written = canonicalise(card.type, number, state, TODAY)
    assert written.number == card.number
    plain = canonicalise(card.type, card.number, card.state, TODAY)
    assert KEYRING.key("live", written) == KEYRING.key("live", plain)


@given(cards())
def test_idempotent(card: Card) -> None:
    """A canonical form is the canonical form of itself."""
    once = canonicalise(card.type, card.number, card.state, TODAY)
    again = canonicalise(once.type, once.number, once.issuing_state or None, TODAY)
    assert again.material == once.material


@given(st.sampled_from(sorted(LEADS)).flatmap(person_numbers))
def test_number_decides(number: str) -> None:
    """A number of the person is taken under one type only (the licence apart, which is another card)."""
    said = {type: outcome(type, number, None) for type in LEADS}
    taken = [type for type, said_of in said.items() if isinstance(said_of, Canonical)]
    assert len(taken) == 1
    refused = [said_of for said_of in said.values() if isinstance(said_of, Refusal)]
    assert {(refusal.code, refusal.expected) for refusal in refused} == {("type_mismatch", taken[0])}


@settings(max_examples=200)
@given(EVERY_TYPE | STRANGE, STRANGE, st.none() | STRANGE)
def test_strange(type: str, number: str, state: str | None) -> None:
    """Any strings at all: a refusal with a code of the contract, or a number whose characters were all there."""
    told(type, number, state)


@settings(max_examples=200)
@given(st.data(), cards())
def test_mutated(data: st.DataObject, card: Card) -> None:
    """A number with something strange put into it or in the place of a character: refused, or none but itself."""
    number, state = data.draw(writings(card))
    at = data.draw(st.integers(0, len(number)))
    strange = data.draw(st.text(st.characters(), max_size=2))
    told(card.type, number[:at] + strange + number[at + data.draw(st.integers(0, 1)) :], state)


def outcome(type: str, number: str, state: str | None) -> Canonical | Refusal:
    try:
        return canonicalise(type, number, state, TODAY)
    except Refusal as refusal:
        return refusal


def told(type: str, number: str, state: str | None) -> None:
    said = outcome(type, number, state)
    if isinstance(said, Refusal):
        assert said.code in REFUSALS
        assert said.pointer in ("/type", "/number", "/issuing_state")
        assert said.args == (said.code, said.pointer)  # the refused value is nowhere in it
        return
    # An oracle that knows nothing of the rules: the letters and digits that are there, in their order.
    assert number.isascii()
    letters = "".join(character for character in number if character not in " -").upper()
    first_generation = said.number[:6] + said.number[8:17] if FIRST_GENERATION in said.notices else None
    counted = letters[:-2] if len(letters) in (10, 11) else None
    assert said.number in (letters, counted) or letters == first_generation


@pytest.mark.parametrize("zero", ["\uff10", "\u0660", "\u0966", "\U0001d7ce", "\u2080"])
def test_other_digits(zero: str) -> None:
    """Digits of other scripts are refused, wherever they stand."""
    for at, character in enumerate(GOOD[:17]):
        assert refused_as(RESIDENT_ID, GOOD[:at] + chr(ord(zero) + int(character)) + GOOD[at + 1 :])[0] == "characters"


@pytest.mark.parametrize(
    "mark", ["\u200b", "\u200d", "\u0301", "\ufeff", "\u00a0", "\u2010", "\t", "\n", "\0", "\ud800"]
)
def test_marks(mark: str) -> None:
    """Invisible, combining and other blank characters are refused, and so are other hyphens."""
    for at in (0, 6, 18):
        assert refused_as(RESIDENT_ID, GOOD[:at] + mark + GOOD[at:])[0] == "characters"


@pytest.mark.parametrize("letter", ["\u0131", "\u017f", "\u00df", "\u212a", "\u0425", "\uff38"])
def test_folding(letter: str) -> None:
    """Letters that upper case, or look alike, would turn into others are refused."""
    assert refused_as(ICAO_PASSPORT, "AB" + letter, "UTO")[0] == "characters"
    assert refused_as(ICAO_PASSPORT, "AB1", "UT" + letter)[0] == "issuing_state"


REFUSED = [
    # the first that applies, where several do
    ("cn.moon-card", "\0", "X9", "type_unknown", "/type", None),
    (ICAO_PASSPORT, "\0", "X9", "issuing_state", "/issuing_state", None),
    (ICAO_PASSPORT, "?" * 12, "CHN", "characters", "/number", None),
    (ICAO_PASSPORT, "A" * 12, "CHN", "length", "/number", None),
    (ICAO_PASSPORT, "", "CHN", "length", "/number", None),
    (ICAO_PASSPORT, "E12345678", "chn", "type_mismatch", "/type", CN_PASSPORT),
    (ICAO_PASSPORT, "E12345678", "UT", "issuing_state", "/issuing_state", None),
    (ICAO_PASSPORT, "E12345678", "", "issuing_state", "/issuing_state", None),
    (ICAO_PASSPORT, "E12345678", " UTO", "issuing_state", "/issuing_state", None),
    (RESIDENT_ID, GOOD, "CHN", "issuing_state", "/issuing_state", None),
    (RESIDENT_ID, "0" + GOOD[1:], None, "characters", "/number", None),
    (RESIDENT_ID, "80" + GOOD[2:], None, "characters", "/number", None),
    (RESIDENT_ID, "0101", None, "characters", "/number", None),
    (RESIDENT_ID, "X", None, "characters", "/number", None),
    (RESIDENT_ID, "8", None, "length", "/number", None),
    (RESIDENT_ID, GOOD[:17] + "A", None, "characters", "/number", None),
    (RESIDENT_ID, GOOD[:16] + "X", None, "characters", "/number", None),
    (RESIDENT_ID, GOOD + "1", None, "length", "/number", None),
    (RESIDENT_ID, GOOD + "X", None, "characters", "/number", None),
    (RESIDENT_ID, "810000000000000000", None, "type_mismatch", "/type", RESIDENCE_PERMIT),
    (RESIDENT_ID, "910000000000000000", None, "type_mismatch", "/type", FOREIGN_PERMANENT_RESIDENT),
    (RESIDENT_ID, "110105194913310020", None, "birth_date", "/number", None),
    (RESIDENT_ID, "110105494931002", None, "birth_date", "/number", None),
    (RESIDENT_ID, "810105491231002", None, "characters", "/number", None),
    (RESIDENT_ID, "ABC110190010199", None, "characters", "/number", None),
    (RESIDENCE_PERMIT, "110105491231002", None, "length", "/number", None),
    (RESIDENCE_PERMIT, "990000190001010016", None, "type_mismatch", "/type", RESIDENT_ID),
    (FOREIGN_PERMANENT_RESIDENT, "ABC11019001019", None, "length", "/number", None),
    (FOREIGN_PERMANENT_RESIDENT, "AB", None, "length", "/number", None),
    (FOREIGN_PERMANENT_RESIDENT, "AB1110190010199", None, "characters", "/number", None),
    (FOREIGN_PERMANENT_RESIDENT, GOOD, None, "type_mismatch", "/type", RESIDENT_ID),
    (FOREIGN_PERMANENT_RESIDENT, "110105491231002", None, "length", "/number", None),
    (DRIVING_LICENCE, "", None, "length", "/number", None),
    (DRIVING_LICENCE, "A123456789", None, "characters", "/number", None),
    (DRIVING_LICENCE, "K1234567801", None, "characters", "/number", None),
    (DRIVING_LICENCE, "123456789012", None, "length", "/number", None),
    (DRIVING_LICENCE, "A10105194912310021", None, "characters", "/number", None),
    (DRIVING_LICENCE, "010105194912310021", None, "characters", "/number", None),
    (DRIVING_LICENCE, "110105194912310021", None, "check_digit", "/number", None),
    (DRIVING_LICENCE, "81010549123100A", None, "characters", "/number", None),
    (DRIVING_LICENCE, "810105491231002", None, "characters", "/number", None),
    (HK_MACAU_PERMIT, "", None, "length", "/number", None),
    (HK_MACAU_PERMIT, "H123456780", None, "length", "/number", None),
    (HK_MACAU_PERMIT, "HA12345678", None, "length", "/number", None),
    (HK_MACAU_PERMIT, "HB1234567", None, "characters", "/number", None),
    (TAIWAN_PERMIT, "123456789", None, "length", "/number", None),
    (TAIWAN_PERMIT, "A1234567", None, "characters", "/number", None),
    (CN_PASSPORT, "", None, "length", "/number", None),
    (CN_PASSPORT, "E1234567", None, "length", "/number", None),
    (CN_PASSPORT, "EAB123456", None, "characters", "/number", None),
    (CN_PASSPORT, GOOD, None, "characters", "/number", None),
]


@pytest.mark.parametrize(("type", "number", "state", "code", "pointer", "expected"), REFUSED)
def test_refused(type: str, number: str, state: str | None, code: str, pointer: str, expected: str | None) -> None:
    """Each fault has its name, and of several the first in the contract's order is told."""
    assert refused_as(type, number, state) == (code, pointer, expected)


TAKEN = [
    (DRIVING_LICENCE, GOOD.lower(), None, GOOD),
    (DRIVING_LICENCE, "110105491231002", None, GOOD),
    (DRIVING_LICENCE, "810000199408230021", None, "810000199408230021"),
    (DRIVING_LICENCE, "H1234567801", None, "H12345678"),
    (DRIVING_LICENCE, "ma123456701", None, "MA1234567"),
    (DRIVING_LICENCE, "0123456702", None, "01234567"),
    (DRIVING_LICENCE, "ABC110190010199", None, "ABC110190010199"),
    (DRIVING_LICENCE, "x1", None, "X1"),
    (ICAO_PASSPORT, "c01x00t47", "d<<", "C01X00T47"),
    (RESIDENT_ID, " -" * 60 + GOOD, None, GOOD),
]


@pytest.mark.parametrize(("type", "number", "state", "canonical"), TAKEN)
def test_taken(type: str, number: str, state: str | None, canonical: str) -> None:
    """Other forms of a number have its canonical form."""
    assert canonicalise(type, number, state, TODAY).number == canonical


def test_read() -> None:
    """What a number tells beside itself: birth date, count, notice, issuing state."""
    first = canonicalise(RESIDENT_ID, "110105 491231 002", None, TODAY)
    assert first.birth is not None
    assert (first.birth.isoformat(), first.notices) == ("1949-12-31", (FIRST_GENERATION,))
    assert canonicalise(HK_MACAU_PERMIT, "H1234567807", None, TODAY).issue_no == 7
    assert canonicalise(HK_MACAU_PERMIT, "H12345678", None, TODAY).issue_no is None
    assert canonicalise(DRIVING_LICENCE, "H1234567807", None, TODAY).issue_no is None
    assert canonicalise(ICAO_PASSPORT, "C01X00T47", "D", TODAY).material == (ICAO_PASSPORT, "DEU<C01X00T47")


@pytest.mark.parametrize("type", sorted(TYPES))
def test_long(type: str) -> None:
    """However long the writing, it is refused, and refused for its length when its characters are good."""
    state = "UTO" if type == ICAO_PASSPORT else None
    for filler in (" ", "-", "1"):
        code = refused_as(type, "1" + filler * 1_000_000, state)[0]
        assert code == "length"
    assert refused_as(type, " " * WRITING_LIMIT + GOOD, state)[0] == "length"
    assert refused_as(type, "\0" * 1_000_000, state)[0] == "characters"
    assert refused_as(type, "1" * 1_000_000 + "١", state)[0] == "characters"


def test_every_type() -> None:
    """Every type of the table has a form, and a strategy that these tests draw it from."""
    assert set(NUMBERS) == set(TYPES)
    for type in TYPES:
        assert refused_as(type, "?", "UTO" if type == ICAO_PASSPORT else None)[0] == "characters"
