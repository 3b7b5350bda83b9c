"""Sixteen ways to cheat a report out of force. Each is refused by its code, the card stays refused, and the ledger
has one line more that says who tried."""

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from lostid.api.texts import TABLE
from lostid.ledger.statement import AsyncConn
from tests.api.serving import Key, Served, report_of
from tests.api.withdrawing import Town, a_town, approve, ask, once

Cheat = Callable[[Town, str, str], httpx.Response]
"""(the town, the report, a pending withdrawal of it) -> what the cheat was told."""


_towns = itertools.count(1)


@pytest.fixture
def town(server: Served, checker: Key) -> Iterator[Town]:
    with a_town(server, checker, f"town-{next(_towns)}") as made:
        yield made


def same_person_twice(town: Town, report: str, pending: str) -> httpx.Response:
    both = town.person("both", "reporter", "approver")
    return approve(both, ask(both, report, operator="both").json()["id"])


def one_person_with_two_keys(town: Town, report: str, pending: str) -> httpx.Response:
    return approve(town.person("second-key", "approver", operator="officer"), pending)


def approver_is_reporter(town: Town, report: str, pending: str) -> httpx.Response:
    clerk = town.person("clerk", "supervisor")
    asked = ask(clerk, report, operator="clerk").json()["id"]
    return approve(town.person("officer-approves", "approver", operator="officer"), asked)


def other_document(town: Town, report: str, pending: str) -> httpx.Response:
    other = town.report(town.card())
    return approve(town.approver, pending, report_id=other)


def other_grounds(town: Town, report: str, pending: str) -> httpx.Response:
    return approve(town.approver, pending, grounds="returned_to_holder")


def expired(town: Town, report: str, pending: str) -> httpx.Response:
    async def a_day_passes(conn: AsyncConn) -> None:
        await conn.execute("UPDATE withdrawals SET expires_ms = expires_ms - 86400000 WHERE id = %s", [pending])

    town.server.in_ledger(a_day_passes)
    return approve(town.approver, pending)


def replayed(town: Town, report: str, pending: str) -> httpx.Response:
    """An approval that was good once, sent again after the card was reported again."""
    card = town.cards[report]
    assert approve(town.approver, pending, key="good-once").json()["state"] == "approved"
    assert town.status(card) == "clear"
    town.report(card)
    again = approve(town.approver, pending, key="good-once")
    assert again.headers["idempotent-replayed"] == "true"
    assert town.status(card) == "reported"
    return approve(town.approver, pending)


def role_removed_in_between(town: Town, report: str, pending: str) -> httpx.Response:
    leaver = town.person("leaver", "reporter")
    asked = ask(leaver, report, operator="leaver").json()["id"]
    town.revoke("leaver")
    return approve(town.approver, asked)


def approve_before_request(town: Town, report: str, pending: str) -> httpx.Response:
    return approve(town.approver, "wdr_" + "1" * 32)


def two_approvals_at_once(town: Town, report: str, pending: str) -> httpx.Response:
    """One of the two counts, once. The card is then reported again, which the other does not touch."""
    second = town.person("approver-2", "approver")
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda client: approve(client, pending), (town.approver, second)))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert len([e for e in town.lines("withdrawal.approved") if e.id == pending]) == 1
    town.report(town.cards[report])
    return next(answer for answer in answers if answer.status_code == 409)


def approve_after_a_new_report(town: Town, report: str, pending: str) -> httpx.Response:
    town.report(town.cards[report], reason="stolen")
    return approve(town.approver, pending)


def admin_key(town: Town, report: str, pending: str) -> httpx.Response:
    return approve(town.person("admin", "admin"), pending)


def checker_key(town: Town, report: str, pending: str) -> httpx.Response:
    return ask(town.person("checker", "checker"), report, operator="checker")


def same_station(town: Town, report: str, pending: str) -> httpx.Response:
    return approve(town.person("neighbour", "approver", station="station-of-officer"), pending)


def name_in_other_case(town: Town, report: str, pending: str) -> httpx.Response:
    return approve(town.approver, pending, operator="Approver")


def name_with_spaces(town: Town, report: str, pending: str) -> httpx.Response:
    return ask(town.officer, report, operator=" officer")


def sandbox_key_on_live_data(town: Town, report: str, pending: str) -> httpx.Response:
    return approve(town.person("sandbox", "approver", env="test"), pending)


CHEATS: dict[Cheat, str] = {
    same_person_twice: "same_person",
    one_person_with_two_keys: "same_person",
    approver_is_reporter: "same_person",
    other_document: "withdrawal_not_pending",
    other_grounds: "withdrawal_not_pending",
    expired: "withdrawal_expired",
    replayed: "withdrawal_not_pending",
    role_removed_in_between: "withdrawal_not_pending",
    approve_before_request: "not_found",
    two_approvals_at_once: "withdrawal_not_pending",
    approve_after_a_new_report: "withdrawal_overtaken",
    admin_key: "role_missing",
    checker_key: "role_missing",
    same_station: "same_station",
    name_in_other_case: "operator_mismatch",
    name_with_spaces: "operator_mismatch",
    sandbox_key_on_live_data: "not_found",
}


@pytest.mark.parametrize("cheat", CHEATS, ids=lambda cheat: cheat.__name__)
def test_cheat(town: Town, cheat: Cheat) -> None:
    """Refused with its code; the card still refused; one line in the ledger."""
    card = town.card()
    report = town.report(card)
    town.cards[report] = card
    pending = town.asked(report)
    before = town.head
    answer = cheat(town, report, pending)
    code = CHEATS[cheat]
    assert (answer.status_code, answer.json()["code"]) == (TABLE[code].status, code)
    assert answer.status_code in (403, 404, 409)
    assert town.status(card) == "reported"
    (line,) = town.lines("withdrawal.attempt", after=before)
    assert line.facts["code"] == code
    assert line.facts["org"] == town.org
    assert line.intact()
    assert not line.effects


def test_races(town: Town) -> None:
    """An approval and a new report at once: whichever comes first, the card is refused in the end."""
    second = town.person("second-officer", "reporter")
    for _ in range(4):
        card = town.card()
        pending = town.asked(town.report(card))
        body = report_of(card, "second-officer", reason="stolen")

        def again(body: dict[str, object] = body) -> int:
            return second.post("/v1/reports", json=body, headers=once()).status_code

        with ThreadPoolExecutor(2) as pool:
            approved, reported = pool.submit(approve, town.approver, pending), pool.submit(again)
        assert reported.result() == 201
        assert approved.result().json().get("code", "approved") in ("approved", "withdrawal_overtaken")
        assert town.status(card) == "reported"


def test_revoked_meanwhile(town: Town) -> None:
    """Six approve at once while the requester's key ends: one counts or none, and none after the key's end."""
    card = town.card()
    asker = town.person("asker", "reporter")
    pending = ask(asker, town.report(card), operator="asker").json()["id"]
    approvers = [town.person(f"approver-{n}", "approver") for n in range(6)]
    with ThreadPoolExecutor(7) as pool:
        answers = [pool.submit(approve, client, pending) for client in approvers]
        pool.submit(town.revoke, "asker").result()
    good = [answer.result().json() for answer in answers if answer.result().status_code == 200]
    (ended,) = [e for e in town.lines("key.revoked") if e.id == town.people["asker"][0].id]
    assert len(good) <= 1
    assert all(answer["seq"] < ended.seq for answer in good)
    assert town.status(card) == ("clear" if good else "reported")


_COPY = """
    INSERT INTO withdrawals
    SELECT (jsonb_populate_record(w, jsonb_build_object('id', 'wdr_' || repeat('7', 32), 'report_id', %s::text))).*
      FROM withdrawals w WHERE id = %s
"""


async def _by_hand(conn: AsyncConn, like: str, report_id: str) -> None:
    """What somebody with the database's own password can do: a request that a colleague never made."""
    await conn.execute(_COPY, (report_id, like))


def test_request_by_hand(town: Town) -> None:
    """A row that asks in somebody's name, with no entry that says so: one person cannot approve what nobody asked."""
    card = town.card()
    report_id, other = town.report(card), town.report(town.card())
    like = town.asked(other)
    town.server.in_ledger(lambda conn: _by_hand(conn, like, report_id))
    answer = approve(town.approver, "wdr_" + "7" * 32)
    assert (answer.status_code, answer.json()["code"]) == (409, "withdrawal_not_pending")
    assert town.status(card) == "reported"
