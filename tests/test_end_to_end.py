"""The registry as its users meet it: one server with two workers, real engines, the command line and HTTP."""

import itertools
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from lostid.commands.seed import people
from tests.serving import Server, told

OFFICER = "officer-117"
OLD, NEW = "2015-03-01", "2024-06-01"


@dataclass(frozen=True)
class Desks:
    """The two who meet at the registry."""

    server: Server
    police: str
    hotel: str
    numbers: Iterator[str]

    def check(self, number: str, *instance: str) -> subprocess.CompletedProcess[str]:
        """Asked again while there is no answer (exit code 3): a busy machine may miss a renewal of the lease."""
        asked = ("check", "cn.resident-id", "-", *instance, "--json")
        done = self.server.cli(*asked, key=self.hotel, stdin=f"{number}\n")
        for _ in range(20):
            if done.returncode != 3:
                break
            done = self.server.cli(*asked, key=self.hotel, stdin=f"{number}\n")
        return done

    def report(self, number: str, *more: str) -> dict[str, Any]:
        fixed = ("--operator", OFFICER, "--case-number", "A-2026-11-0031", "--json")
        done = self.server.cli("report", "cn.resident-id", "-", *more, *fixed, key=self.police, stdin=f"{number}\n")
        assert done.returncode == 0, done.stderr
        return told(done)  # type: ignore[no-any-return]


# Of the session, as the server is: made a second time it would begin with numbers that were reported before.
@pytest.fixture(scope="session")
def desks(server: Server) -> Desks:
    police = server.key("reporter", org="city-police", station="station-12", operator=OFFICER)
    return Desks(server, police, server.key("checker", org="grand-hotel"), people(seed=2))


def test_table(desks: Desks) -> None:
    """Before the report every card of the number is clear. After it the lost card is refused, its replacement, which
    has the same number, is clear, and without the instance nobody is told that the card is clear."""
    number = next(desks.numbers)
    cards = (("--valid-from", OLD), ("--valid-from", NEW), ())
    before = [desks.check(number, *card) for card in cards]
    assert [(done.returncode, told(done)["status"]) for done in before] == [(0, "clear")] * 3
    answer = desks.report(number, "--reason", "lost", "--valid-from", OLD)
    assert answer["state"] == "in_force"
    assert answer["covers"] == {"types": ["cn.resident-id"], "valid_from_through": OLD}
    after = [desks.check(number, *card) for card in cards]
    assert [(done.returncode, told(done)["status"], told(done)["advice"]) for done in after] == [
        (1, "reported", "refuse"),
        (0, "clear", "proceed"),
        (1, "indeterminate", "provide_instance"),
    ]
    assert told(after[2])["needs"] == ["valid_from"]


def test_nobody_is_told_clear(desks: Desks) -> None:
    """Reports, each followed at once by checks on fresh connections: from the receipt on no worker says clear."""
    police, hotel = f"Bearer {desks.police}", f"Bearer {desks.hotel}"
    ask, answered = desks.server.ask, set()
    for number in itertools.islice(desks.numbers, 200):
        document = {"type": "cn.resident-id", "number": number, "valid_from": OLD}
        report = {"document": document, "reason": "stolen", "operator": OFFICER, "case_number": "A-1"}
        status, _ = ask("POST", "/v1/reports", report, Authorization=police, Idempotency_Key=uuid.uuid4().hex)
        assert status == 201
        check = {"document": document, "operator": "desk-3", "purpose": "hotel.check_in"}
        for _ in range(5):
            _, answer = ask("POST", "/v1/checks", check, Authorization=hotel)
            answered.add(answer.get("status", answer.get("code")))
    assert answered <= {"reported", "freshness_unproven"}
    assert "reported" in answered


def test_revoked_key(desks: Desks) -> None:
    """A revoked key is refused by every worker as soon as the command returns."""
    made = told(desks.server.cli("keys", "create", "--org", "inn", "--role", "checker", "--json"))
    check = {"document": {"type": "cn.passport", "number": "E12345678"}, "operator": "desk-3", "purpose": "other"}

    def codes() -> set[str | None]:
        key = f"Bearer {made['key']}"
        answers = [desks.server.ask("POST", "/v1/checks", check, Authorization=key)[1] for _ in range(10)]
        return {answer.get("code", answer.get("status")) for answer in answers}

    assert codes() == {"clear"}
    assert desks.server.cli("keys", "revoke", made["id"]).returncode == 0
    assert codes() == {"key_revoked"}
    listed = told(desks.server.cli("keys", "list", "--json"))["keys"]
    assert [key["state"] for key in listed if key["id"] == made["id"]] == ["revoked"]
    assert made["key"] not in str(listed)
