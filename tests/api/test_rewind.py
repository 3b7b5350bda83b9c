"""What one operator did since T, seen first and then taken back by two supervisors; the ledger only grows."""

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any, LiteralString

import httpx
import pytest

from lostid.ledger import entries
from lostid.ledger.statement import AsyncConn
from tests.api.schema_check import check_against
from tests.api.serving import Key, Served, report_of
from tests.api.test_auditing import compared
from tests.api.trusting import open_alarms, until
from tests.api.withdrawing import Town, a_town, act, approve, imported, once, refuse

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


def test_imports(town: Town) -> None:
    """An import that the operator took back is in force again, whole, and takes two to go once more; what the operator
    brought in or released is marked; what somebody else took back since then stays as it is. The log agrees."""
    crook, clerk = town.person("crook", "importer", "approver"), town.person("clerk", "importer")
    cards = [town.card() for _ in range(6)]
    sold = imported(clerk, "clerk", cards[:2])
    own = imported(crook, "crook", cards[2:3])
    theirs = imported(clerk, "clerk", cards[3:4])
    opened = imported(clerk, "clerk", cards[4:5], release=False)
    unreleased = imported(crook, "crook", cards[5:], release=False)
    act(crook, opened, "release")
    assert [act(crook, sold, "withdrawal"), act(clerk, theirs, "withdrawal")] == ["withdrawn"] * 2
    assert act(crook, unreleased, "withdrawal") == "withdrawn"
    assert [town.status(card) for card in cards] == ["clear", "clear", "reported", "clear", "reported", "clear"]

    first, second = town.person("first", "supervisor"), town.person("second", "supervisor")
    preview = rewind(first, "crook").json()
    check_against("Rewind", preview)
    assert (preview["restored_imports"], preview["restored"]) == ([sold], [])
    assert preview["imports"] == [own, opened, unreleased]
    assert rewind(first, "crook", "2099-01-01T00:00:00Z").json()["restored_imports"] == []
    before = town.head
    proposed = propose(first, "crook").json()["id"]

    async def approved_meanwhile(conn: AsyncConn) -> httpx.Response:
        """While somebody holds the row of an import in force, as whoever withdraws it does on the way to the head."""
        async with conn.transaction():
            await conn.execute("SELECT FROM imports WHERE id = %s FOR UPDATE", [own])
            return await asyncio.to_thread(approve, second, proposed)

    assert town.server.in_ledger(approved_meanwhile).json()["state"] == "approved"
    assert [town.status(card) for card in cards] == ["reported"] * 3 + ["clear", "reported", "clear"]
    (restored,), (rewound,) = town.lines("import.restored", before), town.lines("rewind.approved", before)
    assert (restored.id, restored.facts["operator"], rewound.seq) == (sold, "second", restored.seq + 1)
    assert (rewound.facts["restored_imports"], rewound.facts["imports"]) == ([sold], preview["imports"])
    shown = {id_: clerk.get(f"/v1/imports/{id_}").json() for id_ in (sold, own, theirs, opened)}
    assert [shown[id_]["state"] for id_ in shown] == ["released", "released", "withdrawn", "released"]
    assert ["review" in shown[id_] for id_ in shown] == [False, True, False, True]
    check_against("Import", shown[own])

    with town.server.client(town.server.key("procuratorate", "auditor")) as auditor:
        until(lambda: auditor.get(f"/v1/log/openings?after={rewound.seq - 1}").json()["openings"])
        assert compared(auditor) == []

    assert act(crook, sold, "withdrawal") == "withdrawal_awaiting_approval"
    again = crook.post(f"/v1/imports/{sold}/withdrawal", headers=once())
    assert again.json()["code"] == "same_person"
    assert town.status(cards[0]) == "reported"
    assert act(town.approver, sold, "withdrawal") == "withdrawn"
    assert town.status(cards[0]) == "clear"


def test_import_of_others(town: Town) -> None:
    """Withdrawn by one, put back by a rewind, withdrawn by another: a second rewind of the first changes nothing. A dry
    run is nobody's doing."""
    crook, clerk = town.person("crook", "approver"), town.person("clerk", "importer")
    (card,) = cards = [town.card()]
    id_ = imported(clerk, "clerk", cards)
    assert act(crook, id_, "withdrawal") == "withdrawn"
    first, second = town.person("first", "supervisor"), town.person("second", "supervisor")
    both = [propose(first, "crook").json()["id"] for _ in range(2)]
    assert approve(second, both[0]).json()["state"] == "approved"
    assert town.status(card) == "reported"
    before = town.head
    assert approve(second, both[1]).json()["state"] == "approved"
    assert not town.lines("import.restored", before)
    assert act(clerk, id_, "withdrawal") == "withdrawal_awaiting_approval"
    assert act(town.approver, id_, "withdrawal") == "withdrawn"
    assert rewind(first, "crook").json()["restored_imports"] == []
    assert approve(second, propose(first, "crook").json()["id"]).json()["state"] == "approved"
    assert town.status(card) == "clear"
    rehearsal = {"operator": "clerk", "source": "archive", "dry_run": True}
    assert clerk.post("/v1/imports", json=rehearsal, headers=once()).status_code == 201
    assert rewind(first, "clerk").json()["imports"] == [id_]
    assert rewind(first, "clerk").json()["restored_imports"] == [id_]


def test_request_of_the_rewound(town: Town) -> None:
    """What the operator asked for and nobody has agreed to yet is asked for no more: somebody else has to ask."""
    crook, clerk = town.person("crook", "approver"), town.person("clerk", "importer")
    (card,) = cards = [town.card()]
    id_ = imported(clerk, "clerk", cards)
    first, second = town.person("first", "supervisor"), town.person("second", "supervisor")
    assert act(crook, id_, "withdrawal") == "withdrawn"
    assert approve(second, propose(first, "crook").json()["id"]).json()["state"] == "approved"
    assert act(crook, id_, "withdrawal") == "withdrawal_awaiting_approval"
    assert approve(second, propose(first, "crook").json()["id"]).json()["state"] == "approved"
    assert clerk.get(f"/v1/imports/{id_}").json()["state"] == "released"
    assert act(town.approver, id_, "withdrawal") == "withdrawal_awaiting_approval"
    assert town.status(card) == "reported"


def test_import_by_hand(town: Town) -> None:
    """Somebody with the database's password takes an import back without an entry: an alarm, until it is undone."""
    id_ = imported(town.person("clerk", "importer"), "clerk", [town.card()])
    seq = town.head

    def change(statement: LiteralString) -> None:
        town.server.in_ledger(lambda conn: by_hand(conn, statement, seq, id_))

    def raised() -> bool:
        return (seq, "turns_altered") in town.server.in_ledger(open_alarms)

    change("INSERT INTO import_turns (import, seq, action) SELECT number, %s, 3 FROM imports WHERE id = %s")
    until(raised)
    change("DELETE FROM import_turns t USING imports i WHERE t.seq = %s AND i.number = t.import AND i.id = %s")
    until(lambda: not raised())


async def by_hand(conn: AsyncConn, statement: LiteralString, *values: Any) -> None:
    """As somebody who may switch triggers off."""
    async with conn.transaction():
        await conn.execute("SET LOCAL session_replication_role = replica")
        await conn.execute(statement, values)
