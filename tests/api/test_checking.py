"""Checks against a real server: the table of the contract, batches, what a key limits."""

from typing import Any

import httpx

from lostid.ledger import apikeys
from tests.api.serving import Served, check_of, person, report_of, resident

DAY = "2015-03-01"


def told(client: httpx.Client, document: dict[str, Any], **more: Any) -> dict[str, Any]:
    response = client.post("/v1/checks", json=check_of(document, **more))
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def put(client: httpx.Client, document: dict[str, Any], operator: str = "officer-1", **more: Any) -> dict[str, Any]:
    body = report_of(document, operator, **more)
    response = client.post("/v1/reports", json=body, headers={"Idempotency-Key": f"put-{person()}"})
    assert response.status_code == 201, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_old_card_replacement_and_no_instance(desk: httpx.Client, counter: httpx.Client) -> None:
    """Before the report all three are clear; then the old card is refused, the new one clear, the number unclear."""
    card = resident(valid_from=DAY)
    number = {"type": card["type"], "number": card["number"]}
    new = {**number, "valid_from": "2026-11-01"}
    assert [told(desk, which)["status"] for which in (card, new, number)] == ["clear"] * 3
    put(counter, card)
    assert told(desk, card)["status"] == "reported"
    assert told(desk, card)["advice"] == "refuse"
    assert told(desk, new)["status"] == "clear"
    unclear = told(desk, number)
    assert (unclear["status"], unclear["needs"]) == ("indeterminate", ["valid_from"])
    assert unclear["advice"] == "provide_instance"
    at_the_window = told(desk, number, purpose="rail.ticketing")
    assert at_the_window["advice"] == "check_at_gate"


def test_answer(desk: httpx.Client) -> None:
    """An answer says from when it is, until when it is good, and what the ledger's entry is that it contains."""
    response = desk.post(
        "/v1/checks", json=check_of(resident(), reference="b-1"), headers={"Request-Id": "my-request-1"}
    )
    answer = response.json()
    assert answer["id"].startswith("chk_")
    assert 0 <= answer["fresh_for_ms"] <= 1000
    assert answer["as_of"] < answer["fresh_until"]
    assert answer["as_of"].endswith("Z")
    assert answer["seq"] >= 1
    assert response.headers["request-id"] == "my-request-1"
    assert response.headers["cache-control"] == "no-store"
    assert "reason" not in answer


def test_reporters_are_told_why(counter: httpx.Client) -> None:
    """A key that reports as well learns reason and time, of the earliest cover that decides."""
    card = resident(valid_from=DAY)
    put(counter, card, reason="stolen", effective_at="2026-11-19T08:00:00+08:00")
    put(counter, card, reason="lost", effective_at="2026-11-18T08:00:00+08:00")
    answer = told(counter, card, operator="officer-1")
    assert (answer["status"], answer["reason"]) == ("reported", "lost")
    assert answer["effective_at"] == "2026-11-18T00:00:00.000Z"


def test_first_generation_number(desk: httpx.Client) -> None:
    """The 15-digit form is converted, and the answer says so."""
    answer = told(desk, {"type": "cn.resident-id", "number": "110105491231002"})
    assert answer["notices"] == ["first_generation_number"]


def test_batch(desk: httpx.Client, counter: httpx.Client) -> None:
    """Results come in input order; a refused number refuses only its own item."""
    old = resident(valid_from=DAY)
    put(counter, old)
    checks = [
        {"document": old, "reference": "a"},
        {"document": resident()},
        {"document": {**resident(), "number": old["number"][:17] + "?"}, "reference": "c"},
        {"document": {"type": "icao.passport", "number": "C01X00T47", "issuing_state": "D"}, "reference": "d"},
        {"document": {"type": "cn.driving-licence", "number": old["number"]}},
    ]
    body = {"operator": "desk-1", "purpose": "rail.gate", "checks": checks}
    answer = desk.post("/v1/checks/batch", json=body).json()
    assert answer["results"] == [
        {"status": "reported", "advice": "refuse", "reference": "a"},
        {"status": "clear", "advice": "proceed"},
        {"error": {"code": "characters", "pointer": "/checks/2/document/number"}, "reference": "c"},
        {"status": "clear", "advice": "proceed", "reference": "d"},
        {"status": "clear", "advice": "proceed"},
    ]
    assert set(answer) == {"id", "as_of", "fresh_until", "fresh_for_ms", "seq", "results"}


def test_batch_of_a_thousand(desk: httpx.Client, counter: httpx.Client) -> None:
    """A thousand documents are answered at once, one more is refused as a whole."""
    reported = [resident(valid_from=DAY) for _ in range(3)]
    for card in reported:
        put(counter, card)
    cards = [resident() for _ in range(997)] + reported
    body = {"operator": "desk-1", "purpose": "rail.gate", "checks": [{"document": card} for card in cards]}
    answer = desk.post("/v1/checks/batch", json=body).json()
    assert [result["status"] for result in answer["results"]] == ["clear"] * 997 + ["reported"] * 3
    body["checks"] = [{"document": resident()}] * 1001
    refused = desk.post("/v1/checks/batch", json=body)
    assert refused.status_code == 422
    assert refused.json()["errors"] == [{"pointer": "/checks", "code": "value_invalid"}]


def test_key_limits(server: Served) -> None:
    """A key bound to an operator or to purposes checks for no others."""
    bound = server.key("bank", "checker", operator="teller-1", station="b-1", purposes=("bank.loan",))
    with server.client(bound) as client:
        for operator, purpose, code in (
            ("teller-2", "bank.loan", "operator_mismatch"),
            ("teller-1", "hotel.check_in", "purpose_not_allowed"),
        ):
            response = client.post("/v1/checks", json=check_of(resident(), operator=operator, purpose=purpose))
            assert (response.status_code, response.json()["code"]) == (403, code)
        assert told(client, resident(), operator="teller-1", purpose="bank.loan")["status"] == "clear"


def test_rate(server: Served) -> None:
    """A key with a rate sees how much is left, and 429 with Retry-After when nothing is; over all workers together."""
    slow = server.key("hotel", "checker", rate=5)
    answers = []
    for _ in range(12):  # a connection each, so that both workers are asked
        with server.client(slow) as client:
            answers.append(client.post("/v1/checks", json=check_of(resident())))
    codes = [answer.status_code for answer in answers]
    assert 5 <= codes.count(200) < 12
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["code"] == "rate_limited"
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["ratelimit-policy"] == '"checks";q=5;w=1'
    assert answers[0].headers["ratelimit"].startswith('"checks";r=4;')


def test_revoked(server: Served) -> None:
    """A revoked key is refused in every worker, in the middle of an open connection too."""
    key = server.key("hotel", "checker")
    with server.client(key) as client:
        assert told(client, resident())["status"] == "clear"
        server.in_ledger(lambda conn: apikeys.revoke(conn, key.id))
        # The revocation's fence was not waited for here, so it may take as long as a lease.
        answers = [client.post("/v1/checks", json=check_of(resident())) for _ in range(300)]
        assert answers[-1].status_code == 401
        assert answers[-1].json()["code"] == "key_revoked"
        assert "invalid_token" in answers[-1].headers["www-authenticate"]
        report = client.post("/v1/reports", json={}, headers={"Idempotency-Key": "x"})
        assert report.json()["code"] == "key_revoked"


def test_sandbox(server: Served, desk: httpx.Client) -> None:
    """What a key of the sandbox reports, no live key sees."""
    toy = server.key("police", "reporter", "checker", station="s", operator="officer-1", env="test")
    card = resident(valid_from=DAY)
    with server.client(toy) as client:
        put(client, card)
        assert told(client, card, operator="officer-1")["status"] == "reported"
    assert told(desk, card)["status"] == "clear"
