"""Reports one after the other on one record, and under several numbers."""

from datetime import date

import pytest

from lostid.domain.canonical import Canonical
from lostid.domain.covers import Action
from lostid.domain.decide import decide_report, effects_on
from lostid.domain.documents import (
    CN_PASSPORT,
    DRIVING_LICENCE,
    HK_MACAU_PERMIT,
    RESIDENCE_PERMIT,
    RESIDENT_ID,
)
from lostid.domain.errors import Refusal
from lostid.domain.instance import MISSING, Instance, day_number
from lostid.domain.record import fold
from lostid.domain.status import decide
from tests.domain.drawing import KEY, KEYRING
from tests.domain.reporting import (
    ANY_CARD,
    ANY_LICENCE,
    ANY_PERMIT,
    CHINA,
    CORRECTED,
    LICENCE,
    LICENCE_A,
    LONG_AGO,
    NEW_CARD,
    NOW_MS,
    OLD_CARD,
    PASSPORT,
    PERMIT,
    RESIDENCE,
    RESIDENT,
    TAG_KEY,
    TODAY,
    Document,
    Report,
    decided,
    put,
    told,
    whole,
)


def test_last_day() -> None:
    """With no instance named, a card of the day of the loss is covered, and one of the day after is clear."""
    record = fold(
        effects_on(decided(ANY_CARD, Report("lost", LONG_AGO)), key=KEY, tag_key=TAG_KEY, seq=1, report_id="rpt")
    )
    assert [decide(record, Instance(days=(day_number(LONG_AGO) + n,))) for n in (-1, 0, 1)] == [
        "reported",
        "reported",
        "clear",
    ]
    assert decide(record, MISSING) == "indeterminate"


def test_replaced() -> None:
    """The replacement is clear, everything before it void, though the open-ended loss report covered it."""
    lost = put(1, ANY_CARD, Report("lost", date(2020, 6, 10)))
    new: Document = (RESIDENT, {"valid_from": "2020-06-01"})
    between: Document = (RESIDENT, {"valid_from": "2020-06-05"})
    assert [told(lost, card) for card in (OLD_CARD, new, between)] == ["reported"] * 3
    both = lost + put(2, ANY_CARD, Report("replaced", date(2020, 6, 12), NEW_CARD))
    assert [told(both, card) for card in (OLD_CARD, new, between, ANY_CARD)] == [
        "void",
        "clear",
        "clear",
        "indeterminate",
    ]
    # The new card is lost in its turn.
    again = both + put(3, ANY_CARD, Report("lost", date(2021, 1, 1)))
    assert [told(again, card) for card in (OLD_CARD, new)] == ["void", "reported"]


def test_replaced_licence() -> None:
    """A lost licence is reported until the good one is named; then all but the good one are void."""
    a, b, c = ((LICENCE, {"card_serial": f"330100000000{n}"}) for n in "123")
    lost = put(1, ANY_LICENCE, Report("lost", LONG_AGO))
    assert [told(lost, card) for card in (a, b, ANY_LICENCE)] == ["reported"] * 3
    first = lost + put(2, ANY_LICENCE, Report("replaced", None, b[1]))
    assert [told(first, card) for card in (a, b, c, ANY_LICENCE)] == ["void", "clear", "void", "indeterminate"]
    second = first + put(3, b, Report("replaced", None, c[1]))
    assert [told(second, card) for card in (a, b, c)] == ["void", "void", "clear"]


def test_cancelled_licence() -> None:
    """A licence cancelled without a serial stays void whatever is issued later: only a withdrawal undoes that."""
    cancelled = put(1, ANY_LICENCE, Report("cancelled", LONG_AGO))
    replaced = cancelled + put(2, ANY_LICENCE, Report("replaced", None, LICENCE_A[1]))
    assert [told(effects, LICENCE_A) for effects in (cancelled, replaced)] == ["void", "void"]


def test_effects() -> None:
    """Effects are numbered on from where they start, and hold a serial's tag in place of the serial."""
    decision = decided(ANY_LICENCE, Report("replaced", None, {"card_serial": "3301000000002"}))
    made = effects_on(decision, key=KEY, tag_key=TAG_KEY, seq=9, report_id="rpt", ordinal=4)
    assert [(effect.action, effect.seq, effect.ordinal, effect.report_id) for effect in made] == [
        (Action.ADD, 9, 4, "rpt"),
        (Action.NARROW, 9, 5, "rpt"),
    ]
    assert {effect.cover.serial_tag for effect in made if effect.cover} == {KEYRING.serial_tag(KEY, "3301000000002")}


# --- whole reports ---------------------------------------------------------------------------------------------------


def test_aliases() -> None:
    """The record is written under each number once, with the instance where it tells cards of the alias apart."""
    materials, shown = whole(OLD_CARD, Report("lost"), CORRECTED, RESIDENT, CORRECTED)
    assert materials == [RESIDENT.material, CORRECTED.material]
    assert shown == {"types": [RESIDENT_ID], "valid_from_through": "2015-03-01"}


def test_alias_count() -> None:
    """A count appended to the alias's number is the alias's instance; what is wrong with it points at the alias."""
    old_form = Canonical(HK_MACAU_PERMIT, "HA1234567", issue_no=7)
    documents, _ = decide_report(
        PERMIT,
        Instance(issue_no=3),
        [old_form],
        reason="lost",
        effective_at=None,
        replaced_by=None,
        zone=CHINA,
        today=TODAY,
        now_ms=NOW_MS,
    )
    assert [(under.number, decision.cover.watermark) for under, decision in documents] == [
        ("H12345678", 3),
        ("HA1234567", 7),
    ]
    with pytest.raises(Refusal) as caught:
        whole(ANY_PERMIT, Report("replaced", None, {"issue_no": 5}), old_form)
    assert (caught.value.code, caught.value.within("/document")) == ("instance_invalid", "/also_known_as/0")


def test_alias_of_another_kind() -> None:
    """A named card is no card of a type whose cards are told apart by something else; a death covers all of them."""
    with pytest.raises(Refusal) as caught:
        whole(OLD_CARD, Report("lost"), CORRECTED, LICENCE)
    assert (caught.value.code, caught.value.pointer) == ("instance_not_applicable", "/also_known_as/1")
    with pytest.raises(Refusal) as caught:
        whole(OLD_CARD, Report("deceased"), PASSPORT)
    assert (caught.value.code, caught.value.pointer) == ("field_missing", "/effective_at")
    assert len(whole(ANY_CARD, Report("lost", LONG_AGO), LICENCE)[0]) == 2
    materials, shown = whole(OLD_CARD, Report("deceased", LONG_AGO), RESIDENCE, PASSPORT)
    assert [type for type, _ in materials] == [
        RESIDENT_ID,
        DRIVING_LICENCE,
        RESIDENCE_PERMIT,
        DRIVING_LICENCE,
        CN_PASSPORT,
    ]
    assert shown == {"types": [RESIDENT_ID, DRIVING_LICENCE, RESIDENCE_PERMIT, CN_PASSPORT], "all": True}
