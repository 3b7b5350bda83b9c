"""The one canonicaliser: report, check, import and client all take a number through here.

ASCII only. U+0020 and U+002D are dropped anywhere, letters become upper case; everything else is refused by name and
never folded into another number. Refusals come in the contract's order, so that one fault has one name.
"""

import re
from collections.abc import Callable
from datetime import date
from typing import Final, NamedTuple

from lostid_client.rules import gb11643
from lostid_client.rules.documents import (
    CN_PASSPORT,
    DRIVING_LICENCE,
    FOREIGN_PERMANENT_RESIDENT,
    HK_MACAU_PERMIT,
    ICAO_PASSPORT,
    RESIDENCE_PERMIT,
    RESIDENT_ID,
    TAIWAN_PERMIT,
)
from lostid_client.rules.errors import Refusal

FIRST_GENERATION: Final = "first_generation_number"

# The longest writing that is read at all, separators included. Bounds the work for any input.
WRITING_LIMIT: Final = 256

_tuple: Final = tuple.__new__

# A separator that no number can hold, so that state and number cannot run into one another.
_STATE_END: Final = "<"


class Canonical(NamedTuple):
    """A document number in its one canonical form, and what was read from it on the way.

    (A tuple: one is made for every check, at a third of the cost of a frozen dataclass.)"""

    type: str
    number: str
    issuing_state: str = ""
    birth: date | None = None
    issue_no: int | None = None
    notices: tuple[str, ...] = ()

    @property
    def material(self) -> tuple[str, str]:
        """What is keyed: the type and the number, with the issuing state before it where there is one."""
        if self.issuing_state:
            return self.type, f"{self.issuing_state}{_STATE_END}{self.number}"
        return self.type, self.number

    def under(self, type: str) -> "Canonical":
        """The same number under another type that bears it (a death covers them all)."""
        return self if type == self.type else self._replace(type=type)


def canonicalise(type: str, number: str, issuing_state: str | None, today: date) -> Canonical:
    """The canonical form of any way to write a number; for any strings at all, nothing but Refusal is raised."""
    if len(number) == 18 and issuing_state is None:
        # Nearly all of them, as they should be: a fraction of what any other writing takes to the same end.
        told = gb11643.read(number, today)
        if told is not None and told[0] == type:
            return _tuple(Canonical, (type, number, "", told[1], None, ()))  # a third of what its own constructor costs
    form = _FORMS.get(type)
    if form is None:
        raise Refusal("type_unknown", "/type")
    state = ""
    if type == ICAO_PASSPORT:
        state = _issuing_state(issuing_state)
    elif issuing_state is not None:
        # Ignoring it would let one passport have two keys, depending on the type that was typed.
        raise Refusal("issuing_state", "/issuing_state")
    text = plain(number) if len(number) <= WRITING_LIMIT else None
    if text is None:
        raise _unread(number)
    return _icao_passport(state, text) if state else form(type, text, today)


def plain(text: str) -> str | None:
    """`text` without separators, in upper case; None where it holds anything but ASCII letters and digits."""
    if not text.isascii():
        return None
    if not text.isalnum():
        text = text.replace(" ", "").replace("-", "")
        if text and not text.isalnum():
            return None
    return text.upper()


def _unread(number: str) -> Refusal:
    """Why a number was not read at all. However long it is, no more than the limit is looked at."""
    if len(number) > WRITING_LIMIT and number.isascii() and plain(number[:WRITING_LIMIT]) is not None:
        return _length()
    return _characters()


def _characters() -> Refusal:
    return Refusal("characters", "/number")


def _length() -> Refusal:
    return Refusal("length", "/number")


# --- numbers of the person ------------------------------------------------------------------------------------------


def _person_number(type: str, text: str, today: date) -> Canonical:
    """The 18-character number under the type that its lead decides."""
    expected = gb11643.type_of(text)
    if expected is None or not gb11643.has_shape(text):
        raise _person_number_fault(text)
    if expected != type:
        raise Refusal("type_mismatch", "/type", expected)
    return _checked(type, text, today)


def _checked(type: str, text: str, today: date) -> Canonical:
    birth = gb11643.birth_date(text, today)
    if birth is None:
        raise Refusal("birth_date", "/number")
    if gb11643.check_character(text[:17]) != text[17]:
        raise Refusal("check_digit", "/number")
    return Canonical(type, text, "", birth)


def _person_number_fault(text: str) -> Refusal:
    """Each place holds what the standard allows there, as far as the text goes? Then it is the length."""
    body, check, rest = text[:17], text[17:18], text[18:]
    digits = (body + rest).isdigit() or not text
    lead = text in ("", "8") or gb11643.type_of(text) is not None
    if not digits or not lead or (check and not check.isdigit() and check != "X"):
        return _characters()
    return _length()


def _resident_id(type: str, text: str, today: date) -> Canonical:
    if len(text) == 15 and text.isdigit():
        return _first_generation(type, text, today)
    return _person_number(type, text, today)


def _first_generation(type: str, text: str, today: date) -> Canonical:
    number = gb11643.from_first_generation(text)
    if number is None:
        raise _characters()  # a lead that no 15-digit number ever had
    return _checked(type, number, today)._replace(notices=(FIRST_GENERATION,))


# The form before 2017: nationality, then 12 digits. They hold a birth date, but not one that can be relied on
# (real cards differ in what they put there), so it is not read.
_OLD_PERMANENT: Final = re.compile(r"[A-Z]{3}[0-9]{12}").fullmatch
_OLD_PERMANENT_SO_FAR: Final = re.compile(r"[A-Z]{1,2}|[A-Z]{3}[0-9]*").fullmatch


def _foreign_permanent_resident(type: str, text: str, today: date) -> Canonical:
    if not text[:1].isalpha():
        return _person_number(type, text, today)
    if _OLD_PERMANENT(text):
        return Canonical(type, text)
    raise _length() if _OLD_PERMANENT_SO_FAR(text) else _characters()


# --- travel permits -------------------------------------------------------------------------------------------------

_HK_MACAU: Final = re.compile(r"([HM](?:[0-9]{8}|A[0-9]{7}))([0-9]{2})?").fullmatch
_HK_MACAU_SO_FAR: Final = re.compile(r"|[HM]A?[0-9]*").fullmatch
_TAIWAN: Final = re.compile(r"([0-9]{8})([0-9]{2})?").fullmatch


def _hk_macau_permit(type: str, text: str, today: date) -> Canonical:
    match = _HK_MACAU(text)
    if match is None:
        raise _length() if _HK_MACAU_SO_FAR(text) else _characters()
    return _permit(type, match)


def _taiwan_permit(type: str, text: str, today: date) -> Canonical:
    match = _TAIWAN(text)
    if match is None:
        raise _length() if not text or text.isdigit() else _characters()
    return _permit(type, match)


def _permit(type: str, match: re.Match[str]) -> Canonical:
    """The count of reissues that some forms append is split off: the card has one key with it and without it."""
    count = match[2]
    return Canonical(type, match[1], issue_no=None if count is None else int(count))


# --- licences -------------------------------------------------------------------------------------------------------


def _driving_licence(type: str, text: str, today: date) -> Canonical:
    """The number of the holder's identity proof, in that proof's canonical form."""
    size = len(text)
    if 1 <= size <= 9:  # a passport, or a permit without its count
        return Canonical(type, text)
    if size == 18:
        if not gb11643.has_shape(text) or gb11643.type_of(text) is None:
            raise _characters()
        return _checked(type, text, today)
    if size == 15:
        if text.isdigit():
            return _first_generation(type, text, today)
        if _OLD_PERMANENT(text):
            return Canonical(type, text)
        raise _characters()
    if size in (10, 11):
        match = _TAIWAN(text) if size == 10 else _HK_MACAU(text)
        if match is None:
            raise _characters()
        return Canonical(type, match[1])  # the count is the permit's, not the licence's
    raise _length()


# --- passports ------------------------------------------------------------------------------------------------------

_CN_PASSPORT: Final = re.compile(r"[A-Z][A-Z0-9][0-9]{7}").fullmatch
_CN_PASSPORT_SO_FAR: Final = re.compile(r"|[A-Z]{1,2}[0-9]*").fullmatch
_STATE: Final = re.compile(r"([A-Za-z]{1,3})<{0,2}").fullmatch


def _cn_passport(type: str, text: str, today: date) -> Canonical:
    if _CN_PASSPORT(text):
        return Canonical(type, text)
    raise _length() if _CN_PASSPORT_SO_FAR(text) else _characters()


def _issuing_state(state: str | None) -> str:
    """The three-letter code. ICAO 9303-3 section 5: Germany is D in the machine-readable zone, filled up with `<`."""
    match = None if state is None else _STATE(state)
    code = "" if match is None else match[1].upper()
    if code == "D":
        code = "DEU"
    if len(code) != 3:
        raise Refusal("issuing_state", "/issuing_state")
    return code


def _icao_passport(state: str, text: str) -> Canonical:
    if not 1 <= len(text) <= 9:
        raise _length()
    if state == "CHN":
        raise Refusal("type_mismatch", "/type", CN_PASSPORT)
    return Canonical(ICAO_PASSPORT, text, state)


def _takes_a_state(type: str, text: str, today: date) -> Canonical:
    raise AssertionError("an ICAO passport is canonicalised with its issuing state")


_FORMS: Final[dict[str, Callable[[str, str, date], Canonical]]] = {
    RESIDENT_ID: _resident_id,
    RESIDENCE_PERMIT: _person_number,
    FOREIGN_PERMANENT_RESIDENT: _foreign_permanent_resident,
    DRIVING_LICENCE: _driving_licence,
    HK_MACAU_PERMIT: _hk_macau_permit,
    TAIWAN_PERMIT: _taiwan_permit,
    CN_PASSPORT: _cn_passport,
    ICAO_PASSPORT: _takes_a_state,
}
