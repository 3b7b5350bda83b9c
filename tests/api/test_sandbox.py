"""The sandbox: a namespace of its own, and numbers that bring about whatever a caller must be able to take."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from lostid.api.sandbox import SCENARIOS
from lostid.domain.canonical import canonicalise
from tests.api.schema_check import check_against
from tests.api.serving import Key, Served, check_of, report_of, resident

DOCS = Path(__file__).parents[2] / "docs" / "sandbox.md"
NUMBERS = {scenario.number[-3:]: scenario.number for scenario in SCENARIOS}


@pytest.fixture(scope="module")
def tester(server: Served) -> Key:
    roles = ("checker", "reporter")
    return server.key("acme", *roles, env="test", station="station-9", operator="desk-1")


@pytest.fixture
def sandbox(server: Served, tester: Key) -> Iterator[httpx.Client]:
    with server.client(tester) as client:
        yield client


def magic(tail: str, **more: Any) -> dict[str, Any]:
    return {"type": "cn.resident-id", "number": NUMBERS[tail], **more}


def ask(client: httpx.Client, tail: str, **more: Any) -> httpx.Response:
    return client.post("/v1/checks", json=check_of(magic(tail, **more)))


def batch(client: httpx.Client, *tails: str) -> httpx.Response:
    checks = [{"document": magic(tail), "reference": tail} for tail in tails]
    return client.post("/v1/checks/batch", json={"operator": "desk-1", "purpose": "other", "checks": checks})


def test_apart(desk: httpx.Client, counter: httpx.Client, sandbox: httpx.Client) -> None:
    """What is reported with a test key no live key sees, and the other way round."""
    for reporter, operator, own, other in (
        (sandbox, "desk-1", sandbox, desk),
        (counter, "officer-1", desk, sandbox),
    ):
        card = resident(valid_from="2015-03-01")
        done = reporter.post(
            "/v1/reports", json=report_of(card, operator), headers={"Idempotency-Key": card["number"][:17]}
        )
        assert done.status_code == 201
        assert own.post("/v1/checks", json=check_of(card)).json()["status"] == "reported"
        assert other.post("/v1/checks", json=check_of(card)).json()["status"] == "clear"
        found = counter if reporter is sandbox else sandbox
        who = {"operator": "officer-1" if reporter is sandbox else "desk-1", "case_number": "A-2026-0031"}
        assert found.post("/v1/reports/search", json={**who, "document": card}).json()["reports"] == []
        assert found.get(f"/v1/reports/{done.json()['id']}").status_code == 404


def test_numbers() -> None:
    """Each number is whole: check digit, birth date and all, in area 990000, and no two are one."""
    today = datetime.now(UTC).date()
    for number in NUMBERS.values():
        assert canonicalise("cn.resident-id", number, None, today).number == number
        assert number.startswith("990000")
    assert len(NUMBERS) == len(SCENARIOS)


@pytest.mark.parametrize(
    ("tail", "status", "reason"),
    [
        ("016", "clear", None),
        ("024", "reported", "lost"),
        ("032", "reported", "stolen"),
        ("040", "clear", None),
        ("059", "indeterminate", "replaced"),
        ("067", "clear", None),
    ],
)
def test_statuses(sandbox: httpx.Client, tail: str, status: str, reason: str | None) -> None:
    """Every status has its number, alone and in a batch, with its reason for a reporter."""
    answer = ask(sandbox, tail).json()
    check_against("CheckAnswer", answer)
    assert (answer["status"], answer.get("reason")) == (status, reason)
    together = batch(sandbox, tail).json()
    check_against("BatchAnswer", together)
    assert [(item["status"], item.get("reason")) for item in together["results"]] == [(status, reason)]


def test_replaced(sandbox: httpx.Client) -> None:
    """The old card is void through the day, the new one clear."""
    told = [ask(sandbox, "059", valid_from=day).json()["status"] for day in ("2020-01-01", "2020-01-02")]
    assert told == ["void", "clear"]


def test_refusals(sandbox: httpx.Client) -> None:
    """Every error has its number."""
    refused = ask(sandbox, "075")
    assert (refused.status_code, refused.json()["errors"]) == (
        422,
        [{"pointer": "/document/number", "code": "check_digit"}],
    )
    slow = ask(sandbox, "083")
    assert (slow.status_code, slow.json()["code"], slow.headers["retry-after"]) == (429, "rate_limited", "2")
    broken = ask(sandbox, "091")
    assert (broken.status_code, broken.headers["content-type"]) == (500, "text/plain; charset=utf-8")
    unproven = ask(sandbox, "104")
    assert (unproven.status_code, unproven.json()["code"]) == (503, "freshness_unproven")


def test_refusals_in_a_batch(sandbox: httpx.Client) -> None:
    """A refused number refuses its item; what befalls a request befalls the batch."""
    results = batch(sandbox, "016", "075").json()["results"]
    assert results[0]["status"] == "clear"
    assert results[1]["error"] == {"code": "check_digit", "pointer": "/checks/1/document/number"}
    assert [batch(sandbox, "016", tail).status_code for tail in ("083", "091", "104")] == [429, 500, 503]


def test_late(sandbox: httpx.Client) -> None:
    """Three seconds, and then an answer that is fresh when it is sent; others are not held up meanwhile."""
    began = time.monotonic()
    answer = ask(sandbox, "112").json()
    assert time.monotonic() - began >= 3.0
    assert (answer["status"], answer["fresh_for_ms"] <= 1000) == ("clear", True)


def test_old(sandbox: httpx.Client) -> None:
    """An answer of ten minutes ago says so in every field, alone and in a batch."""
    for answer in (ask(sandbox, "120").json(), batch(sandbox, "016", "120").json()):
        age = datetime.now(UTC) - datetime.fromisoformat(answer["as_of"])
        assert 600 <= age.total_seconds() < 620
        assert (answer["fresh_for_ms"], answer["fresh_until"]) == (0, answer["as_of"])


def test_only_there(desk: httpx.Client) -> None:
    """To a live key the numbers are numbers like any other."""
    results = batch(desk, *NUMBERS).json()["results"]
    assert {item["status"] for item in results} == {"clear"}


def test_listed(server: Served, tester: Key) -> None:
    """The list of the server, the table of the documentation and the code are one."""
    response = httpx.get(f"{server.url}/v1/sandbox/scenarios", headers={"Authorization": f"Bearer {tester.secret}"})
    check_against("Scenarios", response.json())
    listed = [(each["number"], each["answers"]) for each in response.json()["scenarios"]]
    documented = re.findall(r"^\| `(\d{18})` \| (.+) \|$", DOCS.read_text(), re.MULTILINE)
    assert listed == documented == [(scenario.number, scenario.answers) for scenario in SCENARIOS]
