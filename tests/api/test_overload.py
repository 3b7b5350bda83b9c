"""More than can be answered: what is refused is refused politely, reports and other tenants go on."""

import httpx
import pytest

from lostid.api.problems import Canned, Problem, render
from lostid_load.population import Holder, number_of
from lostid_load.wire import request
from overload.flood import Stream, flood
from tests.api.serving import Served

SECONDS = 3.0
UNPROVEN = {"freshness_unproven", "ledger_unavailable", "not_yet_in_force"}  # a busy machine may miss a renewal


def card(serial: int) -> dict[str, str]:
    return Holder(number_of(serial), "unreported").document


def checks(key: str, first: int) -> list[bytes]:
    who = {"operator": "desk-1", "purpose": "hotel.check_in"}
    return [request("127.0.0.1", "/v1/checks", key, {"document": card(first + i), **who}) for i in range(50)]


def test_overload(server: Served) -> None:
    """A tenant that asks for several times what there is is refused in part; police and hotel hear nothing of it."""
    port = httpx.URL(server.url).port
    assert port is not None
    rail, hotel = server.key("rail", "checker").secret, server.key("hotel", "checker").secret
    police = server.key("police", "reporter", station="st-1", operator="officer-9").secret
    reports = [
        request("127.0.0.1", "/v1/reports", police, report, f"overload-{place}")
        for place in range(100)
        for report in [{"document": card(60_000 + place), "reason": "lost", "operator": "officer-9",
                        "case_number": "O-1", "effective_at": "2024-05-01"}]
    ]  # fmt: skip
    passengers = [{"document": card(50_000 + place)} for place in range(1_000)]
    batch = {"operator": "gate-1", "purpose": "rail.ticketing", "checks": passengers}
    streams = [
        Stream("rail", 250, 48, [request("127.0.0.1", "/v1/checks/batch", rail, batch)]),
        Stream("hotel", 30, 20, checks(hotel, 70_000)),
        Stream("police", 10, 20, reports, once=True),
    ]
    flooded, desk, officer = flood(port, streams, SECONDS)
    assert flooded.refusals.get("overloaded", 0) > 0
    assert len(flooded.answered) > 0
    for seen in (flooded, desk, officer):
        assert seen.without_retry_after == 0
        assert seen.others == {}
        assert (seen.unanswered, seen.broken) == (0, 0)
        assert set(seen.refusals) <= {"overloaded", *UNPROVEN}
    assert "overloaded" not in officer.refusals
    assert len(officer.answered) > 0
    assert len(desk.answered) > desk.refusals.get("overloaded", 0)


@pytest.mark.parametrize("zh", [False, True])
def test_a_refusal_says_what_every_other_says(zh: bool) -> None:
    """What was rendered beforehand is what would be rendered now, byte for byte."""
    canned = Canned("overloaded")
    for request_id in ("booking-0017", "booking-0018", "12345678", "x" * 64):
        answer = render(Problem("overloaded"), request_id, zh=zh)
        assert canned.of(request_id, zh=zh) == answer.lines + b"\r\n" + answer.body
