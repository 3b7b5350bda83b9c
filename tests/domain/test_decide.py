"""From a report to its cover: the contract's section on reporting, case by case."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from lostid.domain.covers import CoverKind
from lostid.domain.documents import (
    DRIVING_LICENCE,
    RESIDENCE_PERMIT,
    RESIDENT_ID,
)
from lostid.domain.reasons import REASONS
from tests.domain.reporting import (
    ANY_CARD,
    ANY_LICENCE,
    ANY_PASSPORT,
    ANY_PERMIT,
    CHINA,
    LICENCE,
    LICENCE_A,
    LONG_AGO,
    NEW_CARD,
    NOW,
    NOW_MS,
    OLD_CARD,
    OLD_FORM,
    PERMIT_3,
    RESIDENCE,
    RESIDENT,
    TODAY,
    Document,
    Report,
    decided,
    refused,
)

COVERS = [
    # watermark types: the named card and all before it; without one, all up to the day of effective_at
    (OLD_CARD, Report("lost"), {"valid_from_through": "2015-03-01"}),
    (OLD_CARD, Report("found", LONG_AGO), {"valid_from_through": "2015-03-01"}),
    (ANY_CARD, Report("stolen", LONG_AGO), {"valid_from_through": "2020-05-01"}),
    ((RESIDENT, {"valid_until": "long-term"}), Report("lost", LONG_AGO), {"valid_from_through": "2020-05-01"}),
    (ANY_CARD, Report("lost", date(1949, 12, 31)), {"valid_from_through": "1980-01-01"}),
    (OLD_CARD, Report("replaced"), {"valid_from_through": "2015-03-01"}),
    (ANY_CARD, Report("replaced", None, {"valid_from": "2020-06-01"}), {"valid_from_through": "2020-05-31"}),
    (OLD_CARD, Report("replaced", None, {"valid_from": "2020-06-01"}), {"valid_from_through": "2020-05-31"}),
    (OLD_CARD, Report("cancelled"), {"valid_from_through": "2015-03-01"}),
    (ANY_CARD, Report("cancelled", LONG_AGO), {"all": True}),
    (PERMIT_3, Report("lost"), {"issue_no_through": 3}),
    (ANY_PERMIT, Report("replaced", None, {"issue_no": 4}), {"issue_no_through": 3}),
    (PERMIT_3, Report("cancelled"), {"issue_no_through": 3}),
    (ANY_PERMIT, Report("cancelled", LONG_AGO), {"all": True}),
    # serials: that card, or every card until the good one is named
    (LICENCE_A, Report("lost"), {"card_serial": "3301000000001"}),
    (LICENCE_A, Report("cancelled"), {"card_serial": "3301000000001"}),
    (LICENCE_A, Report("replaced"), {"card_serial": "3301000000001"}),
    (ANY_LICENCE, Report("lost", LONG_AGO), {"all": True}),
    (ANY_LICENCE, Report("cancelled", LONG_AGO), {"all": True}),
    (ANY_LICENCE, Report("replaced", None, {"card_serial": "3301000000002"}), {"card_serial_except": "3301000000002"}),
    (LICENCE_A, Report("replaced", None, {"card_serial": "3301-0000 00002"}), {"card_serial_except": "3301000000002"}),
    # the number alone
    *((ANY_PASSPORT, Report(reason, LONG_AGO), {"all": True}) for reason in REASONS),
]


@pytest.mark.parametrize(("document", "report_", "shown"), COVERS)
def test_cover(document: Document, report_: Report, shown: dict[str, object]) -> None:
    """The answer shows the cover, final or not by its reason, under the reported type."""
    decision = decided(document, report_)
    types = (
        [RESIDENT_ID, DRIVING_LICENCE]
        if report_.reason == "deceased" and document[0] is RESIDENT
        else [document[0].type]
    )
    assert decision.covers_json == {"types": types, **shown}
    assert decision.cover.final is REASONS[report_.reason].final
    assert decision.cover.reason == report_.reason
    assert (decision.narrow is not None) == (report_.replaced_by is not None)


@pytest.mark.parametrize("document", [OLD_CARD, LICENCE_A, PERMIT_3, (RESIDENCE, {}), (OLD_FORM, {}), ANY_PASSPORT])
def test_deceased(document: Document) -> None:
    """A death covers every card of every type that can carry the 18-character number, and of no other."""
    decision = decided(document, Report("deceased", date(2026, 11, 21)))
    assert (decision.cover.kind, decision.cover.final, decision.cover.open_ended) == (CoverKind.ALL, True, False)
    by_lead = {RESIDENT: RESIDENT_ID, LICENCE: RESIDENT_ID, RESIDENCE: RESIDENCE_PERMIT}.get(document[0])
    assert decision.types == ((by_lead, DRIVING_LICENCE) if by_lead else (document[0].type,))
    assert decision.covers_json == {"types": list(decision.types), "all": True}


AHEAD_OK, AHEAD = NOW + timedelta(minutes=5), NOW + timedelta(minutes=5, milliseconds=1)

REFUSALS = [
    # in hand, replaced, or of a type whose cards no day can be compared with: named
    (ANY_CARD, Report("found", LONG_AGO), "instance_required", "/document/valid_from"),
    ((RESIDENT, {"valid_until": "long-term"}), Report("found", LONG_AGO), "instance_required", "/document/valid_from"),
    (ANY_CARD, Report("seized"), "instance_required", "/document/valid_from"),
    (ANY_CARD, Report("replaced", LONG_AGO), "instance_required", "/document/valid_from"),
    (ANY_LICENCE, Report("found", LONG_AGO), "instance_required", "/document/card_serial"),
    (ANY_LICENCE, Report("replaced", LONG_AGO), "instance_required", "/document/card_serial"),
    (ANY_PERMIT, Report("lost", LONG_AGO), "instance_required", "/document/issue_no"),
    (ANY_PERMIT, Report("stolen", LONG_AGO), "instance_required", "/document/issue_no"),
    # without an instance, effective_at
    (ANY_CARD, Report("lost"), "field_missing", "/effective_at"),
    (ANY_LICENCE, Report("lost"), "field_missing", "/effective_at"),
    (ANY_PASSPORT, Report("lost"), "field_missing", "/effective_at"),
    (ANY_PASSPORT, Report("replaced"), "field_missing", "/effective_at"),
    (ANY_PERMIT, Report("deceased"), "field_missing", "/effective_at"),
    # times
    (OLD_CARD, Report("lost", date(2015, 2, 28)), "instance_after_loss", "/document/valid_from"),
    (OLD_CARD, Report("deceased", date(2015, 2, 28)), "instance_after_loss", "/document/valid_from"),
    (OLD_CARD, Report("lost", AHEAD), "in_future", "/effective_at"),
    (OLD_CARD, Report("lost", TODAY + timedelta(days=1)), "in_future", "/effective_at"),
    (OLD_CARD, Report("lost", date.max), "in_future", "/effective_at"),
    (OLD_CARD, Report("lost", datetime.max.replace(tzinfo=UTC)), "in_future", "/effective_at"),
    (ANY_CARD, Report("lost", date(1949, 12, 30)), "value_invalid", "/effective_at"),
    (ANY_PASSPORT, Report("lost", date(1799, 12, 31)), "value_invalid", "/effective_at"),
    (
        ANY_PASSPORT,
        Report("lost", datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))),
        "value_invalid",
        "/effective_at",
    ),
    # replaced_by
    (OLD_CARD, Report("lost", None, NEW_CARD), "instance_not_applicable", "/replaced_by"),
    (ANY_PASSPORT, Report("replaced", LONG_AGO, NEW_CARD), "instance_not_applicable", "/replaced_by"),
    (ANY_CARD, Report("replaced", None, {"issue_no": 1}), "instance_not_applicable", "/replaced_by/issue_no"),
    (
        ANY_CARD,
        Report("replaced", None, {"valid_until": "x", **NEW_CARD}),
        "instance_not_applicable",
        "/replaced_by/valid_until",
    ),
    (ANY_CARD, Report("replaced", None, {}), "instance_required", "/replaced_by/valid_from"),
    (ANY_LICENCE, Report("replaced", None, {"card_serial": None}), "instance_required", "/replaced_by/card_serial"),
    (ANY_CARD, Report("replaced", None, {"valid_from": "2026-11-23"}), "instance_invalid", "/replaced_by/valid_from"),
    (ANY_CARD, Report("replaced", None, {"valid_from": "1980-01-01"}), "instance_invalid", "/replaced_by/valid_from"),
    (OLD_CARD, Report("replaced", None, {"valid_from": "2015-03-01"}), "instance_invalid", "/replaced_by/valid_from"),
    (ANY_PERMIT, Report("replaced", None, {"issue_no": 0}), "instance_invalid", "/replaced_by/issue_no"),
    (PERMIT_3, Report("replaced", None, {"issue_no": 3}), "instance_invalid", "/replaced_by/issue_no"),
    (
        LICENCE_A,
        Report("replaced", None, {"card_serial": "3301000000001"}),
        "instance_invalid",
        "/replaced_by/card_serial",
    ),
    # the first in the contract's order
    (ANY_CARD, Report("found", AHEAD), "instance_required", "/document/valid_from"),
    (ANY_CARD, Report("no such reason"), "value_invalid", "/reason"),
]


@pytest.mark.parametrize(("document", "report_", "code", "pointer"), REFUSALS)
def test_refused(document: Document, report_: Report, code: str, pointer: str) -> None:
    """What a report lacks, or says that cannot be so, has a name and a place in the request."""
    assert refused(document, report_) == (code, pointer)


def test_clock() -> None:
    """Up to five minutes ahead counts as now; with no effective_at a report takes effect now."""
    for at in (AHEAD_OK, None):
        assert decided(OLD_CARD, Report("lost", at)).cover.effective_at_ms == NOW_MS
    # Four minutes before midnight, tomorrow's first moment is now, and now is today.
    late = datetime(2026, 11, 22, 23, 56, tzinfo=CHINA)
    tomorrow = decided(ANY_CARD, Report("lost", date(2026, 11, 23)), now_ms=int(late.timestamp() * 1000))
    assert tomorrow.cover.effective_at_ms == int(late.timestamp() * 1000)
    assert tomorrow.covers_json["valid_from_through"] == "2026-11-22"


def test_naive() -> None:
    """An instant without an offset is a fault of ours: it never reaches a cover."""
    with pytest.raises(ValueError, match="offset"):
        decided(OLD_CARD, Report("lost", datetime(2020, 1, 1)))  # noqa: DTZ001 - the subject of the test


@pytest.mark.parametrize(
    ("at", "day"),
    [
        # either side of midnight, UTC+8
        ("2020-05-01T15:59:59.999+00:00", "2020-05-01"),
        ("2020-05-01T16:00:00+00:00", "2020-05-02"),
        ("2020-05-01T23:59:59+08:00", "2020-05-01"),
        ("2020-05-02T00:30:00+09:00", "2020-05-01"),
        # China had summer time, UTC+9, from 1986 to 1991: midnight came an hour earlier
        ("1988-07-01T14:59:59+00:00", "1988-07-01"),
        ("1988-07-01T15:00:00+00:00", "1988-07-02"),
        ("1991-09-14T15:30:00+00:00", "1991-09-15"),
        ("1991-09-15T15:30:00+00:00", "1991-09-15"),
        ("1992-07-01T15:30:00+00:00", "1992-07-01"),
        ("1985-07-01T15:30:00+00:00", "1985-07-01"),
    ],
)
def test_zone(at: str, day: str) -> None:
    """The day of a loss is its day in the registry's zone, by the rules that held then; that day is covered."""
    decision = decided(ANY_CARD, Report("lost", datetime.fromisoformat(at)))
    assert decision.covers_json["valid_from_through"] == day
    assert decision.cover.effective_at_ms == round(datetime.fromisoformat(at).timestamp() * 1000)
    # A card that was issued on that day may be the one that was lost; one of the day after may not.
    following = (date.fromisoformat(day) + timedelta(days=1)).isoformat()
    decided((RESIDENT, {"valid_from": day}), Report("lost", datetime.fromisoformat(at)))
    assert (
        refused((RESIDENT, {"valid_from": following}), Report("lost", datetime.fromisoformat(at)))[0]
        == "instance_after_loss"
    )


def test_date() -> None:
    """A date stands for its first moment in the zone, with summer time where it was, and is covered itself."""
    summer = decided(ANY_CARD, Report("lost", date(1988, 7, 1)))
    assert summer.cover.effective_at_ms == int(datetime(1988, 6, 30, 15, tzinfo=UTC).timestamp() * 1000)
    assert summer.covers_json["valid_from_through"] == "1988-07-01"
