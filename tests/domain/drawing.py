"""Hypothesis strategies for this room: numbers, the ways to write them, covers and effects."""

import string
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import combinations

from hypothesis import strategies as st

from lostid.domain import gb11643
from lostid.domain.covers import Action, Cover, CoverKind, Effect
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
from lostid.domain.instance import MISSING, Instance
from lostid.domain.keys import Keyring
from lostid.domain.record import Record

LETTERS, DIGITS = string.ascii_uppercase, string.digits
TODAY = date(2026, 11, 22)
KEYRING = Keyring(outer=bytes(range(32)), pepper=bytes(range(32, 64)), sealing=bytes(range(64, 96)))
KEY = bytes(range(16))


def text_of(alphabet: str, low: int, high: int | None = None) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=low, max_size=low if high is None else high)


# --- numbers ---------------------------------------------------------------------------------------------------------

LEADS = {
    RESIDENT_ID: st.one_of(st.from_regex(r"[1-7][0-9]{5}", fullmatch=True), st.just("990000")),
    RESIDENCE_PERMIT: st.from_regex(r"8[123]0000", fullmatch=True),
    FOREIGN_PERMANENT_RESIDENT: st.from_regex(r"9[0-8][0-9]{4}", fullmatch=True),
}


@st.composite
def person_numbers(draw: st.DrawFn, type: str = RESIDENT_ID, since: date = date(1800, 1, 1)) -> str:
    """Valid 18-character numbers of a type."""
    lead = draw(LEADS[type].filter(str.isascii))
    birth = draw(st.dates(since, TODAY))
    first17 = lead + birth.strftime("%Y%m%d").rjust(8, "0") + draw(text_of(DIGITS, 3))
    return first17 + gb11643.check_character(first17)


OLD_PERMANENT = st.tuples(text_of(LETTERS, 3), text_of(DIGITS, 12)).map("".join)
HK_MACAU = st.tuples(
    st.sampled_from(("H", "M")), st.one_of(text_of(DIGITS, 8), text_of(DIGITS, 7).map("A".__add__))
).map("".join)
TAIWAN = text_of(DIGITS, 8)
PASSPORT = text_of(LETTERS + DIGITS, 1, 9)
CHINESE_PASSPORT = st.one_of(
    st.tuples(text_of(LETTERS, 1), text_of(DIGITS, 8)).map("".join),
    st.tuples(text_of(LETTERS, 2), text_of(DIGITS, 7)).map("".join),
)
ANY_PERSON = st.sampled_from(sorted(LEADS)).flatmap(person_numbers)

NUMBERS = {
    RESIDENT_ID: person_numbers(RESIDENT_ID),
    RESIDENCE_PERMIT: person_numbers(RESIDENCE_PERMIT),
    FOREIGN_PERMANENT_RESIDENT: st.one_of(person_numbers(FOREIGN_PERMANENT_RESIDENT), OLD_PERMANENT),
    DRIVING_LICENCE: st.one_of(ANY_PERSON, OLD_PERMANENT, HK_MACAU, TAIWAN, PASSPORT),
    HK_MACAU_PERMIT: HK_MACAU,
    TAIWAN_PERMIT: TAIWAN,
    CN_PASSPORT: CHINESE_PASSPORT,
    ICAO_PASSPORT: PASSPORT,
}


@dataclass(frozen=True)
class Card:
    """A document by its canonical form."""

    type: str
    number: str
    state: str | None


@st.composite
def cards(draw: st.DrawFn) -> Card:
    type = draw(st.sampled_from(sorted(TYPES)))
    state = draw(text_of(LETTERS, 3).filter(lambda code: code != "CHN")) if type == ICAO_PASSPORT else None
    return Card(type, draw(NUMBERS[type]), state)


@st.composite
def writings(draw: st.DrawFn, card: Card) -> tuple[str, str | None]:
    """A number and an issuing state as somebody may write them for this card."""
    number = draw(st.sampled_from(other_forms(card)))
    separators = draw(st.lists(st.sampled_from(("", "", "", " ", "-", " - ")), min_size=20, max_size=20))
    low = draw(st.lists(st.booleans(), min_size=20, max_size=20))
    spelt = "".join(
        gap + (letter.lower() if small else letter) for gap, letter, small in zip(separators, number, low, strict=False)
    )
    state = card.state
    if state is not None:
        state = draw(
            st.sampled_from([state, state.lower(), state + "<", *(["D", "d", "D<<"] if state == "DEU" else [])])
        )
    return spelt + draw(st.sampled_from(("", " ", "-"))), state


def other_forms(card: Card) -> list[str]:
    """The canonical number and every other form of it that the contract names."""
    forms = [card.number]
    permit = card.type in (HK_MACAU_PERMIT, TAIWAN_PERMIT)
    if permit or (card.type == DRIVING_LICENCE and is_permit(card.number)):
        forms += [card.number + count for count in ("00", "01", "99")]
    old = len(card.number) == 18 and card.number[6:8] == "19" and gb11643.type_of(card.number) == RESIDENT_ID
    if old and card.type in (RESIDENT_ID, DRIVING_LICENCE):
        forms.append(card.number[:6] + card.number[8:17])
    return forms


def is_permit(number: str) -> bool:
    digits = number[2:] if number[:2] in ("HA", "MA") else number[1:] if number[:1] in ("H", "M") else number
    return digits.isdigit() and (len(number) == 9) == (number[:1] in ("H", "M")) and len(number) in (8, 9)


# --- covers and effects ----------------------------------------------------------------------------------------------

TAGS = [bytes([letter]) * 8 for letter in b"abc"]
POINTS = range(6)
REPORTS = ("rpt_1", "rpt_2", "rpt_3")
_DAY_MS = 86_400_000


@st.composite
def covers(draw: st.DrawFn) -> Cover:
    kind = draw(st.sampled_from(CoverKind))
    tags = draw(st.permutations(TAGS)) if kind in (CoverKind.ONLY, CoverKind.ALL_BUT) else []
    return Cover(
        kind,
        watermark=draw(st.sampled_from(POINTS)) if kind is CoverKind.THROUGH else None,
        serial_tag=tags[0] if tags else None,
        final=draw(st.booleans()),
        open_ended=draw(st.booleans()),
        reason=draw(st.sampled_from(("lost", "replaced"))),
        effective_at_ms=draw(st.integers(0, 5)) * _DAY_MS,
        also_spared=tuple(tags[1 : draw(st.integers(1, 2))]) if kind is CoverKind.ALL_BUT else (),
    )


def small_records() -> Iterator[Record]:
    """Every record of one or two covers of a small world, final and not."""
    a, b = TAGS[:2]
    kinds: list[tuple[CoverKind, int | None, bytes | None, tuple[bytes, ...]]] = [
        (CoverKind.ALL, None, None, ()),
        *((CoverKind.THROUGH, day, None, ()) for day in (0, 2, 3)),
        (CoverKind.ONLY, None, a, ()),
        (CoverKind.ONLY, None, b, ()),
        (CoverKind.ALL_BUT, None, a, ()),
        (CoverKind.ALL_BUT, None, b, ()),
        (CoverKind.ALL_BUT, None, b, (a,)),
    ]
    world = [
        Cover(kind, watermark, tag, final, False, "lost", 0, spared)
        for kind, watermark, tag, spared in kinds
        for final in (True, False)
    ]
    for size in (1, 2):
        for chosen in combinations(world, size):
            yield Record(tuple(("rpt", cover) for cover in chosen))


OTHER_TAG = b"another!"
SMALL_INSTANCES = [
    MISSING,
    *(Instance(days=(day,)) for day in range(5)),
    *(Instance(days=days) for days in ((0, 1), (2, 3), (2, 4), (3, 4))),
    *(Instance(serial="3301000000001", serial_tag=tag) for tag in (*TAGS, OTHER_TAG)),
]


@st.composite
def effects(draw: st.DrawFn, size: int = 8) -> list[Effect]:
    """What a few reports and withdrawals may do to one key, in the order of the ledger."""
    lines = draw(st.lists(st.tuples(st.sampled_from(Action), st.sampled_from(REPORTS), covers()), max_size=size))
    return [effect_of(seq, action, report_id, cover) for seq, (action, report_id, cover) in enumerate(lines, 1)]


def effect_of(seq: int, action: Action, report_id: str, cover: Cover) -> Effect:
    if action is Action.NARROW and cover.kind in (CoverKind.ALL, CoverKind.ONLY):
        action = Action.ADD  # the good card is named by a day, a count or a serial
    said = action in (Action.ADD, Action.NARROW)
    return Effect(KEY, seq, 0, action, report_id, cover if said else None)
