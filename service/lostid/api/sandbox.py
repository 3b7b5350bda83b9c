"""The sandbox's magic numbers: each makes a check with a test key come out in one way, whatever is on record.

They pass the check digit and lie in area 990000, so no person has one; to a live key they are numbers like any other.
Only `cn.resident-id` has them. `docs/sandbox.md` is this table in words, and a test holds it to the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from lostid.api.problems import Answer, Problem, lines_of
from lostid.domain.canonical import Canonical
from lostid.domain.covers import Cover, CoverKind
from lostid.domain.documents import RESIDENT_ID
from lostid.domain.errors import Refusal
from lostid.domain.instance import day_number
from lostid.domain.record import NOTHING, Record

TEST = "test"
_SINCE_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z, the effective_at of whatever is on record here
_REPLACED_THROUGH = date(2020, 1, 1)


class Broken(Exception):
    """To be answered with a bare 500, which the server itself never sends."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One magic number, and what it does to the request that names it."""

    number: str
    answers: str
    record: Record = NOTHING
    exact: bool = False
    """The filter cannot clear it: the exact record is read, and there is none."""
    refusal: str | None = None
    problem: str | None = None
    retry_after: int | None = None
    broken: bool = False
    late_s: float = 0.0
    aged_ms: int = 0

    def refuse(self) -> None:
        """Raise what the whole request is refused with, if it is."""
        if self.broken:
            raise Broken
        if self.problem is not None:
            wait = () if self.retry_after is None else ((b"retry-after", b"%d" % self.retry_after),)
            raise Problem(self.problem, headers=wait)


def _reported(reason: str) -> Record:
    return Record((("rpt_sandbox", Cover(CoverKind.ALL, None, None, False, False, reason, _SINCE_MS)),))


def _replaced(through: date) -> Record:
    cover = Cover(CoverKind.THROUGH, day_number(through), None, True, False, "replaced", _SINCE_MS)
    return Record((("rpt_sandbox", cover),))


SCENARIOS = (
    Scenario("990000190001010016", "clear"),
    Scenario("990000190001010024", "reported: lost", _reported("lost")),
    Scenario("990000190001010032", "reported: stolen", _reported("stolen")),
    Scenario("990000190001010040", "clear: it was reported and the report was withdrawn"),
    Scenario(
        "990000190001010059", "void with valid_from through 2020-01-01, clear after it", _replaced(_REPLACED_THROUGH)
    ),
    Scenario("990000190001010067", "clear: the filter cannot clear it, the exact record does", exact=True),
    Scenario("990000190001010075", "422 check_digit", refusal="check_digit"),
    Scenario("990000190001010083", "429 rate_limited, Retry-After 2", problem="rate_limited", retry_after=2),
    Scenario("990000190001010091", "500 without a problem document", broken=True),
    Scenario("990000190001010104", "503 freshness_unproven", problem="freshness_unproven"),
    Scenario("990000190001010112", "clear, after 3 seconds", late_s=3.0),
    Scenario("990000190001010120", "clear, but as_of ten minutes ago: fresh_for_ms is 0", aged_ms=600_000),
)
_BY_NUMBER: Mapping[str, Scenario] = {scenario.number: scenario for scenario in SCENARIOS}


def scenario_of(document: Canonical) -> Scenario | None:
    """What is to be played for this document of a test key. Raises Refusal for the number that is refused by decree."""
    scenario = _BY_NUMBER.get(document.number) if document.type == RESIDENT_ID else None
    if scenario is not None and scenario.refusal is not None:
        raise Refusal(scenario.refusal, "/number")
    return scenario


def broken(request_id: str) -> Answer:
    """500 as something in between would send it: no JSON, no code."""
    body = b"Internal Server Error"
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"request-id", request_id.encode("ascii")),
    ]
    return Answer(500, lines_of(headers), body)
