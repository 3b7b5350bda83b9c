"""What one operator did since T, seen first and then taken back by two supervisors; the ledger only grows."""

import itertools
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from lostid.ledger import entries
from lostid.ledger.statement import AsyncConn
from tests.api.schema_check import check_against
from tests.api.serving import Key, Served, report_of
from tests.api.withdrawing import Town, a_town, approve, once, refuse

_towns = itertools.count(1)
LONG_AGO = "2026-01-01T00:00:00+08:00"


@pytest.fixture
def town(server: Served, checker: Key) -> Iterator[Town]:
    with a_town(server, checker, f"county-{next(_towns)}") as made:
        yield made


def rewind(client: httpx.Client, name: str, since: str = LONG_AGO, **body: Any) -> httpx.Response:
    return client.post(f"/v1/operators/{name}/rewind", json={"since": since, **body}, headers=once())


def propose(client: httpx.Client, name: str, **body: Any) -> httpx.Response:
    return rewind(client, name, dry_run=False, evidence="sold entries", **body)


def test_rewind(town: Town) -> None:
    """Its withdrawals fall back to reported at once, whoever had reported; its own reports are marked for review."""
    cards = [town.card() for _ in range(3)]
    sold, kept = town.report(cards[0]), town.report(cards[1])
    crook = town.person("crook", "reporter", "approver")
    own = crook.post("/v1/reports", json=report_of(cards[2], "crook"), headers=once()).json()["id"]
    assert approve(crook, town.asked(sold)).status_code == 200
    assert approve(town.approver, town.asked(kept)).status_code == 200
    assert [town.status(card) for card in cards] == ["clear", "clear", "reported"]

    first, second = town.person("first", "supervisor"), town.person("second", "supervisor")
    preview = rewind(first, "crook")
    assert (preview.status_code, preview.json()["restored"], preview.json()["marked"]) == (200, [sold], [own])
    check_against("Rewind", preview.json())
    assert rewind(first, "crook", "2099-01-01T00:00:00Z").json()["restored"] == []
    assert town.status(cards[0]) == "clear"

    pending = propose(first, "crook")
    assert pending.status_code == 202
    check_against("Rewind", pending.json())
    id_ = pending.json()["id"]
    shown = second.get(f"/v1/withdrawals/{id_}").json()
    check_against("Withdrawal", shown)
    assert (shown["kind"], shown["target"]) == ("rewind", "crook")
    before = town.head
    assert approve(second, id_).json()["state"] == "approved"
    assert [town.status(card) for card in cards] == ["reported", "clear", "reported"]
    states = {r: town.officer.get(f"/v1/reports/{r}").json() for r in (sold, kept, own)}
    assert [states[r]["state"] for r in states] == ["in_force", "withdrawn", "in_force"]
    assert ["review" in states[r] for r in states] == [False, False, True]
    check_against("Report", states[own])

    async def grown(conn: AsyncConn) -> list[str]:
        return [entry.kind for entry in await entries.READ_AFTER.arun(conn, {"after": before, "limit": 10})]

    assert town.server.in_ledger(grown) == ["rewind.approved"]
    assert approve(town.approver, town.asked(sold)).status_code == 200
    assert town.status(cards[0]) == "clear"


def test_by_two(town: Town) -> None:
    """Another supervisor, of another station; never the one who is rewound; and a refusal is for good."""
    first = town.person("first", "supervisor")
    id_ = propose(first, "crook").json()["id"]
    refused = {
        "same_person": [first, town.person("first-again", "supervisor", operator="first")],
        "same_station": [town.person("desk-mate", "supervisor", station="station-of-first")],
        "role_missing": [town.approver, town.officer],
        "not_found": [town.person("stranger", "supervisor", org=f"{town.org}-b")],
    }
    for code, people in refused.items():
        assert [approve(client, id_).json()["code"] for client in people] == [code] * len(people)
    assert approve(town.person("crook", "supervisor"), id_).json()["code"] == "same_person"
    second = town.person("second", "supervisor")
    assert refuse(second, id_).json()["state"] == "refused"
    assert approve(second, id_).json()["code"] == "withdrawal_not_pending"


def test_refused(town: Town) -> None:
    """Wrong times and names; a real one needs a reason and an Idempotency-Key."""
    first = town.person("first", "supervisor")
    assert rewind(first, "crook", "monday").json()["errors"] == [{"pointer": "/since", "code": "value_invalid"}]
    assert rewind(first, "crook", dry_run=False).json()["errors"][0]["pointer"] == "/evidence"
    assert rewind(first, "Crook").json()["code"] == "not_found"
    assert rewind(first, "crook", operator="second").json()["code"] == "operator_mismatch"
    assert rewind(town.officer, "crook").json()["code"] == "role_missing"
    bare = first.post("/v1/operators/crook/rewind", json={"since": LONG_AGO, "dry_run": False, "evidence": "x"})
    assert bare.json()["code"] == "idempotency_key_missing"
    assert first.post("/v1/operators/crook/rewind", json={"since": LONG_AGO}).status_code == 200


def test_imports_are_named(town: Town) -> None:
    """What the operator imported since then is named to both supervisors, and in the entry; rehearsals are not."""
    clerk = town.person("clerk", "importer")
    opened = [
        clerk.post(
            "/v1/imports", json={"operator": "clerk", "source": "archive", "dry_run": dry}, headers=once()
        ).json()
        for dry in (False, True)
    ]
    first, second = town.person("first", "supervisor"), town.person("second", "supervisor")
    preview = rewind(first, "clerk").json()
    check_against("Rewind", preview)
    assert preview["imports"] == [opened[0]["id"]]
    assert rewind(first, "clerk", "2099-01-01T00:00:00Z").json()["imports"] == []
    before = town.head
    assert approve(second, propose(first, "clerk").json()["id"]).json()["state"] == "approved"
    (entry,) = town.lines("rewind.approved", before)
    assert entry.facts["imports"] == [opened[0]["id"]]
