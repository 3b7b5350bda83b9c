"""A withdrawal by two people, from the request to a card that is clear again; what is seen of it; how often."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from lostid.api.clock import Clock, ms_of
from lostid.ledger.withdrawing import ATTEMPTS_AN_HOUR
from tests.api.schema_check import check_against
from tests.api.serving import Key, Served, report_of
from tests.api.withdrawing import Town, a_town, approve, ask, once, refuse

_towns = itertools.count(1)


@pytest.fixture
def town(server: Served, checker: Key) -> Iterator[Town]:
    with a_town(server, checker, f"city-{next(_towns)}") as made:
        yield made


def history(client: httpx.Client, operator: str, card: dict[str, Any]) -> list[dict[str, Any]]:
    body = {"operator": operator, "case_number": "H-1", "document": card}
    response = client.post("/v1/reports/history", json=body)
    assert response.status_code == 200, response.text
    check_against("EntryList", response.json())
    entries: list[dict[str, Any]] = response.json()["entries"]
    return entries


def test_by_two(town: Town) -> None:
    """One asks, another agrees, and the card is clear once the answer is there. The history tells all of it."""
    card = town.card()
    report_id = town.report(card)
    asked = ask(town.officer, report_id, operator="officer")
    assert asked.status_code == 202
    check_against("WithdrawalPending", asked.json())
    assert asked.headers["location"] == f"/v1/withdrawals/{asked.json()['id']}"
    assert town.status(card) == "reported"
    assert (
        approve(town.person("cousin", "approver", station="station-of-officer"), asked.json()["id"]).status_code == 403
    )
    done = approve(town.approver, asked.json()["id"], operator="approver")
    assert (done.status_code, done.json()["state"]) == (200, "approved")
    check_against("WithdrawalDecided", done.json())
    assert town.status(card) == "clear"
    shown = town.officer.get(f"/v1/reports/{report_id}").json()
    assert shown["state"] == "withdrawn"
    kinds = ["report", "withdrawal.requested", "withdrawal.attempt", "withdrawal.approved"]
    told = history(town.officer, "officer", card)
    assert [entry["kind"] for entry in told] == kinds
    assert (told[2]["act"], told[2]["code"], told[2]["operator"]) == ("approve", "same_station", "cousin")


def test_no_body(town: Town) -> None:
    """The path says it all: a decision needs no body, and may be asked for again like any write."""
    paths = [f"/v1/withdrawals/{town.asked(town.report(town.card()))}/{act}" for act in ("approve", "refuse")]
    for path, state in zip(paths, ("approved", "refused"), strict=True):
        headers = {"Idempotency-Key": state}
        done = town.approver.post(path, headers=headers)
        assert (done.status_code, done.json()["state"]) == (200, state)
        assert town.approver.post(path, headers=headers).headers["idempotent-replayed"] == "true"
    assert town.approver.post(paths[0]).json()["code"] == "idempotency_key_missing"


def test_replay(town: Town) -> None:
    """The same request again gets the same answer, also where its first writer died before the answer."""
    report_id = town.report(town.card())
    first = ask(town.officer, report_id, key="w-1", operator="officer")
    again = ask(town.officer, report_id, key="w-1", operator="officer")
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    done = approve(town.approver, first.json()["id"], key="a-1")

    async def forget(conn: Any) -> None:
        await conn.execute("UPDATE writes SET status = NULL, answer = NULL WHERE org = %s", [town.org])

    town.server.in_ledger(forget)
    assert ask(town.officer, report_id, key="w-1", operator="officer").json() == first.json()
    assert approve(town.approver, first.json()["id"], key="a-1").json() == done.json()


def test_refused(town: Town) -> None:
    """A refusal is for good: the report stays in force, and nobody can agree any more."""
    card = town.card()
    id_ = town.asked(town.report(card))
    assert refuse(town.officer, id_).json()["code"] == "role_missing"
    assert refuse(town.approver, id_).json()["state"] == "refused"
    assert approve(town.person("late", "approver"), id_).json()["code"] == "withdrawal_not_pending"
    assert town.status(card) == "reported"


def test_older_report_stays(town: Town) -> None:
    """A withdrawal takes one report out; what else is in force on the card stays."""
    card = town.card()
    town.report(card)
    newer = town.report(card, reason="stolen")
    assert approve(town.approver, town.asked(newer)).status_code == 200
    assert town.status(card) == "reported"


def test_death(town: Town) -> None:
    """A wrong death: only as an error of entry, only by a supervisor of another organisation; all its types go."""
    card = town.card()
    report_id = town.report(card, reason="deceased", effective_at="2026-11-01")
    licence = {"type": "cn.driving-licence", "number": card["number"], "card_serial": "3100000099999"}
    assert (town.status(card), town.status(licence)) == ("void", "void")
    code = ask(town.officer, report_id, operator="officer", grounds="other").json()["code"]
    assert code == "reason_not_allowed"
    id_ = town.asked(report_id)
    own = town.person("own-supervisor", "supervisor")
    assert approve(town.approver, id_).json()["code"] == "role_missing"
    assert approve(own, id_).json()["code"] == "role_missing"
    elsewhere = town.person("elsewhere", "approver", org=f"{town.org}-b")
    assert approve(elsewhere, id_).json()["code"] == "not_found"
    assert town.status(card) == "void"
    supervisor = town.person("other-supervisor", "supervisor", org=f"{town.org}-b")
    seen = supervisor.get("/v1/withdrawals", params={"state": "awaiting_approval", "limit": 200}).json()["withdrawals"]
    assert id_ in [row["id"] for row in seen]
    assert approve(supervisor, id_).json()["state"] == "approved"
    assert (town.status(card), town.status(licence)) == ("clear", "clear")


def test_caps(town: Town) -> None:
    """Five a day for an operator, whatever came of them; then a supervisor's key. Found cards are counted apart."""
    report_id = town.report(town.card())
    found = town.report(town.card(), reason="found")
    for _ in range(5):
        town.asked(report_id)
    assert ask(town.officer, report_id, operator="officer").json()["code"] == "cap_reached"
    assert ask(town.officer, found, operator="officer", grounds="other").json()["code"] == "cap_reached"
    town.asked(found, grounds="returned_to_holder")
    head = town.person("head", "supervisor", operator="officer")
    assert ask(head, report_id, operator="officer").status_code == 202


def test_listing(town: Town) -> None:
    """The organisation's own, oldest first, page by page, by state; others see nothing."""
    report_id = town.report(town.card())
    ids = [town.asked(report_id) for _ in range(3)]
    first = town.approver.get("/v1/withdrawals", params={"limit": 2}).json()
    check_against("WithdrawalList", first)
    rest = town.approver.get("/v1/withdrawals", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [row["id"] for row in first["withdrawals"] + rest["withdrawals"]] == ids
    assert approve(town.approver, ids[0]).status_code == 200
    states = {
        state: [
            row["id"] for row in town.approver.get("/v1/withdrawals", params={"state": state}).json()["withdrawals"]
        ]
        for state in ("awaiting_approval", "approved", "overtaken", "expired", "refused")
    }
    assert states == {
        "awaiting_approval": [], "approved": ids[:1], "overtaken": ids[1:], "expired": [], "refused": []
    }  # fmt: skip
    one = town.officer.get(f"/v1/withdrawals/{ids[1]}").json()
    check_against("Withdrawal", one)
    assert (one["state"], one["report_id"]) == ("overtaken", report_id)
    stranger = town.person("stranger", "reporter", "approver", org=f"{town.org}-b")
    assert stranger.get("/v1/withdrawals").json() == {"withdrawals": [], "next_cursor": None}
    assert stranger.get(f"/v1/withdrawals/{ids[1]}").status_code == 404
    assert ask(stranger, report_id, operator="stranger").status_code == 404
    for query, pointer in (({"state": "x"}, "state"), ({"limit": "0"}, "limit"), ({"cursor": "%"}, "cursor")):
        (fault,) = town.officer.get("/v1/withdrawals", params=query).json()["errors"]
        assert fault == {"pointer": f"/query/{pointer}", "code": "value_invalid"}


def test_evidence(town: Town) -> None:
    """A text of up to 1,000 characters, in which no document number may hide."""
    card = town.card()
    report_id = town.report(card)
    number = f"{card['number'][:6]} {card['number'][6:]}"
    for evidence, code in (("", "value_invalid"), ("x" * 1001, "value_invalid"), ("a\0b", "value_invalid"),
                           (f"he said {number}, truly", "contains_document_number")):  # fmt: skip
        (fault,) = ask(town.officer, report_id, operator="officer", evidence=evidence).json()["errors"]
        assert fault == {"pointer": "/evidence", "code": code}
    assert ask(town.officer, report_id, operator="officer", evidence="录入错误\n见卷宗" * 10).status_code == 202


def test_no_flood(town: Town) -> None:
    """One key's attempts fill so many lines an hour, the last of which says so; refused are all of them."""
    before = town.head
    for _ in range(ATTEMPTS_AN_HOUR + 2):
        assert approve(town.approver, "wdr_" + "2" * 32).status_code == 404
    lines = town.lines("withdrawal.attempt", after=before)
    assert len(lines) == ATTEMPTS_AN_HOUR
    assert [line.facts.get("last_this_hour", False) for line in lines] == [False] * (len(lines) - 1) + [True]


def test_as_of(town: Town, server: Served) -> None:
    """Both clocks to the millisecond: what a check was told follows the entry, what is known now follows the loss."""
    card = town.card()
    body = report_of(card, "officer", effective_at="2026-11-18T10:26:40.123+08:00")
    receipt = town.officer.post("/v1/reports", json=body, headers=once()).json()

    def as_of(at: str, client: httpx.Client = town.officer, operator: str = "officer") -> tuple[str, str, list[str]]:
        asked = {"document": card, "at": at, "operator": operator, "case_number": "A-1"}
        response = client.post("/v1/checks/as-of", json=asked)
        assert response.status_code == 200, response.text
        check_against("AsOfAnswer", response.json())
        answer = response.json()
        return answer["told"]["status"], answer["known_now"]["status"], answer["known_now"]["report_ids"]

    def around(ms: int) -> list[tuple[str, str, list[str]]]:
        return [as_of(_instant(at)) for at in (ms - 1, ms, ms + 1)]

    id_ = receipt["id"]
    known = ("clear", "reported", [id_])
    assert [a[1] for a in around(_ms("2026-11-18T02:26:40.123Z"))] == ["clear", "reported", "reported"]
    recorded = _ms(receipt["recorded_at"])
    assert around(recorded) == [known, ("reported", *known[1:]), ("reported", *known[1:])]
    done = approve(town.approver, town.asked(id_)).json()
    gone = _ms(done["decided_at"])
    assert around(gone) == [("reported", "clear", []), ("clear", "clear", []), ("clear", "clear", [])]
    assert as_of(_instant(recorded)) == ("reported", "clear", [])
    auditor = town.person("auditor", "auditor")
    assert as_of(receipt["recorded_at"], auditor, "auditor")[0] == "reported"
    asked = {"document": card, "at": "2099-01-01T00:00:00Z", "operator": "officer", "case_number": "A-1"}
    assert town.officer.post("/v1/checks/as-of", json=asked).json()["errors"][0]["code"] == "in_future"


def _ms(text: str) -> int:
    return ms_of(datetime.fromisoformat(text))


def _instant(ms: int) -> str:
    return Clock(UTC).text(ms)
