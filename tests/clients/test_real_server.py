"""The client library against a real registry."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lostid_client import (
    AsyncClient,
    Client,
    Document,
    InvalidRequest,
    NoAnswer,
    NotAuthorised,
    Recheck,
    RecheckQueue,
    UnknownOutcome,
    verify_receipt,
)
from tests.clients.desks import NEW, OLD, Town, card, number
from tests.serving import Server

DESK: Any = {"operator": "desk-3", "purpose": "hotel.check_in"}
CASE: Any = {"operator": "officer-117", "case_number": "A-1"}


@pytest.fixture
def desk(town: Town) -> Iterator[Client]:
    with town.client(town.checker) as client:
        yield client


@pytest.fixture
def counter(town: Town) -> Iterator[Client]:
    with town.client(town.reporter) as client:
        yield client


def test_three_cards_of_one_number(desk: Client, counter: Client) -> None:
    """The lost card is refused from the receipt on, its replacement clear, the number alone unclear."""
    who = number()
    lost, new, bare = (Document("cn.resident-id", who, valid_from=day) for day in (OLD, NEW, None))
    assert desk.check(lost, **DESK).proceed
    made = counter.report(lost, reason="lost", **CASE)
    assert (made.state, made.covers["valid_from_through"]) == ("in_force", OLD)
    answers = desk.check_many([lost, new, bare], references=["a", "b", "c"], **DESK)
    assert [(answer.status, answer.advice, answer.reference) for answer in answers] == [
        ("reported", "refuse", "a"),
        ("clear", "proceed", "b"),
        ("indeterminate", "provide_instance", "c"),
    ]
    assert answers[2].needs == ("valid_from",)


async def test_asyncio(town: Town) -> None:
    """`AsyncClient` is told the same."""
    lost = card()
    async with AsyncClient(town.url, town.reporter, on_unavailable="refuse") as client:
        assert (await client.check(lost, operator="officer-117", purpose="other")).clear
        made = await client.report(lost, reason="stolen", **CASE)
        assert made.state == "in_force"
        answer = await client.check(lost, operator="officer-117", purpose="other")
        assert (answer.status, answer.reason) == ("reported", "stolen")
        (again,) = await client.check_many([lost], operator="officer-117", purpose="other")
        assert not again.proceed
        assert [entry["reason"] for entry in await client.history(lost, **CASE)] == ["stolen"]


def test_receipts(desk: Client, counter: Client) -> None:
    """Checks, batches and reports are signed by the registry's published key."""
    keys = desk.jwks()
    lost = card()
    made = counter.report(lost, reason="lost", **CASE)
    single = desk.check(lost, receipt=True, reference="b-1", **DESK)
    batch = desk.check_many([lost, card()], receipt=True, **DESK)
    assert made.receipt
    assert single.receipt
    assert batch[0].receipt
    assert batch[0].receipt_salt
    assert batch[0].receipt == batch[1].receipt
    claims = [verify_receipt(receipt, keys) for receipt in (made.receipt, single.receipt, batch[0].receipt)]
    assert [claim["typ"] for claim in claims] == ["lostid-report+jwt", "lostid-check+jwt", "lostid-batch+jwt"]
    assert (claims[0]["jti"], claims[1]["status"], claims[1]["reference"]) == (made.id, "reported", "b-1")
    assert json.dumps(claims).count(lost.number) == 0


def test_a_report_happens_once(counter: Client) -> None:
    """Told again with the same key the registry answers with the report that there is."""
    lost = card()
    first = counter.report(lost, reason="lost", idempotency_key="once-1", **CASE)
    assert counter.report(lost, reason="lost", idempotency_key="once-1", **CASE).id == first.id
    assert len(counter.history(lost, **CASE)) == 1


def test_withdrawn_by_two(town: Town, counter: Client, desk: Client) -> None:
    """Another officer of another station has to agree; then the card is clear, and both clocks know."""
    found = card()
    made = counter.report(found, reason="lost", **CASE)
    asked = counter.withdraw(made.id, operator="officer-117", grounds="returned_to_holder", evidence="at the desk")
    assert asked.state == "awaiting_approval"
    assert desk.check(found, **DESK).status == "reported"
    with town.client(town.approver) as approver:
        decided = approver.approve(asked.id, operator="officer-204")
    assert decided.state == "approved"
    assert desk.check(found, **DESK).clear
    told = counter.as_of(found, at=made.in_force_at or "", **CASE)
    assert (told["told"]["status"], told["known_now"]["status"]) == ("reported", "clear")


def test_refusals(town: Town, desk: Client, counter: Client) -> None:
    """What can never succeed is an error with its place; what is not allowed, one with its code."""
    with pytest.raises(InvalidRequest) as invalid:
        desk.check({"type": "cn.resident-id", "number": "990000197101010010"}, **DESK)
    assert [(fault.pointer, fault.code) for fault in invalid.value.faults] == [("/document/number", "check_digit")]
    with pytest.raises(NotAuthorised, match="role_missing"):
        desk.report(card(), reason="lost", **CASE)
    with pytest.raises(NotAuthorised, match="operator_mismatch"):
        counter.report(card(), reason="lost", operator="officer-9", case_number="A-1")
    with town.client("lid_live_nobody") as stranger, pytest.raises(NotAuthorised, match="key_unknown"):
        stranger.check(card(), **DESK)


def test_the_sandbox(town: Town) -> None:
    """Each error that the sandbox plays becomes what the library says it does."""
    key = town.server.key("checker", env="test", org="acme")
    with town.client(key) as client:

        def check(tail: str) -> Any:
            return client.check(Document("cn.resident-id", f"990000190001010{tail}"), **DESK)

        assert check("016").clear
        assert check("024").status == "reported"
        with pytest.raises(InvalidRequest, match="check_digit"):
            check("075")
        causes = {tail: check(tail).error for tail in ("083", "091", "104", "112", "120")}
    assert causes == {
        "083": "rate_limited",
        "091": "http_500",
        "104": "freshness_unproven",
        "112": "timeout",
        "120": "stale",
    }


def test_the_server_goes_away(tmp_path: Path) -> None:
    """Without a server the caller's policy speaks; when it is back, what proceeded is made up for."""
    lost = card()
    with Server(workers=1) as server:
        checker = server.key("checker")
        police = {"station": "st-1", "operator": "officer-117"}
        reporter = server.key("reporter", **police)
        queue = RecheckQueue(tmp_path / "queue", bytes(32))
        with (
            Client(server.url, checker, on_unavailable="proceed_and_recheck", queue=queue) as hotel,
            Client(server.url, checker, on_unavailable="refuse") as bank,
            Client(server.url, reporter, on_unavailable="refuse") as counter,
        ):
            counter.report(lost, reason="lost", **CASE)
            assert hotel.check(lost, **DESK).status == "reported"
            server.stop()
            let_in = hotel.check(lost, reference="room-7", **DESK)
            assert (let_in.status, let_in.proceed, let_in.answered) == ("unavailable", True, False)
            assert not bank.check(lost, **DESK).proceed
            with pytest.raises(UnknownOutcome) as unknown:
                counter.report(card(), reason="lost", idempotency_key="k-1", **CASE)
            assert unknown.value.idempotency_key == "k-1"
            with pytest.raises(NoAnswer):
                hotel.recheck(queue, lambda hit: None)
            server.start()
            server.wait_until_ready()
            hits: list[Recheck] = []
            assert hotel.recheck(queue, hits.append) == 1
            assert [(hit.request["reference"], hit.answer.status) for hit in hits] == [("room-7", "reported")]
        queue.close()


def test_a_newer_server() -> None:
    """Unknown fields break nothing and are kept; an unknown status or advice permits nothing."""
    answers = iter(
        [
            {"status": "clear", "advice": "proceed", "fresh_for_ms": 900, "mood": {"deep": [1]}},
            {"status": "suspended", "advice": "proceed", "fresh_for_ms": 900},
            {"status": "clear", "advice": "wave_through", "fresh_for_ms": 900},
        ]
    )
    script = httpx.MockTransport(lambda sent: httpx.Response(200, json={"id": "chk_1", "seq": 1, **next(answers)}))
    with Client("http://registry", "lid_live_x", on_unavailable="refuse", transport=script) as client:
        first, second, third = (client.check(card(), **DESK) for _ in range(3))
    assert (first.proceed, first.raw["mood"]) == (True, {"deep": [1]})
    assert (second.clear, second.proceed, third.proceed) == (False, False, False)
