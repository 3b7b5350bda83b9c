"""Reports of a few people's documents, and what comes of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from lostid.domain.canonical import Canonical, canonicalise
from lostid.domain.decide import ReportDecision, decide_cover, decide_report, effects_on
from lostid.domain.documents import (
    CN_PASSPORT,
    DRIVING_LICENCE,
    FOREIGN_PERMANENT_RESIDENT,
    HK_MACAU_PERMIT,
    RESIDENCE_PERMIT,
    RESIDENT_ID,
)
from lostid.domain.errors import Refusal
from lostid.domain.instance import instance_of
from lostid.domain.record import fold
from lostid.domain.status import decide
from tests.domain.drawing import KEY, KEYRING

CHINA = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=CHINA)
NOW_MS = int(NOW.timestamp() * 1000)
TODAY = NOW.date()
TAG_KEY = KEYRING.record_tag_key

RESIDENT = canonicalise(RESIDENT_ID, "11010519491231002X", None, TODAY)
RESIDENCE = canonicalise(RESIDENCE_PERMIT, "810000199408230021", None, TODAY)
LICENCE = RESIDENT.under(DRIVING_LICENCE)
PERMIT = Canonical(HK_MACAU_PERMIT, "H12345678")
PASSPORT = Canonical(CN_PASSPORT, "E12345678")
OLD_FORM = Canonical(FOREIGN_PERMANENT_RESIDENT, "ABC110190010199")

Document = tuple[Canonical, Mapping[str, object]]
OLD_CARD: Document = (RESIDENT, {"valid_from": "2015-03-01"})
NEW_CARD: dict[str, object] = {"valid_from": "2020-06-01"}
ANY_CARD: Document = (RESIDENT, {})
CORRECTED = canonicalise(RESIDENT_ID, "110105194912310038", None, TODAY)
LICENCE_A: Document = (LICENCE, {"card_serial": "3301000000001"})
ANY_LICENCE: Document = (LICENCE, {})
PERMIT_3: Document = (PERMIT, {"issue_no": 3})
ANY_PERMIT: Document = (PERMIT, {})
ANY_PASSPORT: Document = (PASSPORT, {})
LONG_AGO = date(2020, 5, 1)


@dataclass
class Report:
    """The rest of a report's body."""

    reason: str
    effective_at: datetime | date | None = None
    replaced_by: Mapping[str, object] | None = None


def decided(document: Document, report: Report, **changed: Any) -> ReportDecision:
    canonical, fields = document
    rest: dict[str, Any] = {"zone": CHINA, "today": TODAY, "now_ms": NOW_MS, **changed}
    instance = instance_of(fields, canonical, rest["today"])
    return decide_cover(canonical, instance, **vars(report), **rest)


def refused(document: Document, report: Report) -> tuple[str, str]:
    with pytest.raises(Refusal) as caught:
        decided(document, report)
    return caught.value.code, caught.value.within("/document")


def put(seq: int, document: Document, report_: Report) -> list[Any]:
    return list(effects_on(decided(document, report_), key=KEY, tag_key=TAG_KEY, seq=seq, report_id=f"rpt_{seq}"))


def told(effects: list[Any], document: Document) -> str:
    canonical, fields = document
    return decide(fold(effects), instance_of(fields, canonical, TODAY).tagged(TAG_KEY, KEY))


def whole(document: Document, report_: Report, *aliases: Canonical) -> tuple[list[tuple[str, str]], dict[str, object]]:
    canonical, fields = document
    instance = instance_of(fields, canonical, TODAY)
    documents, shown = decide_report(
        canonical, instance, aliases, **vars(report_), zone=CHINA, today=TODAY, now_ms=NOW_MS
    )
    return [under.material for under, _ in documents], shown
