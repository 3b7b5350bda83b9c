"""The four desks at work, each against a real registry."""

import csv
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from clients.bank import open_account
from clients.hotel import check_in
from clients.police import counter
from clients.rail import gate, passengers
from lostid.ledger.apikeys import NewKey
from lostid_client import Document, verify_receipt
from tests.clients.desks import NEW, OLD, Town, card, number

NOBODY = "http://127.0.0.1:9"  # discard(9): nothing listens there

Desk = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def desk(town: Town, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    """Run a program as a shell would; (exit code, the lines that it printed)."""

    def run(
        program: ModuleType, *arguments: str, key: str = town.checker, stdin: str = "", url: str = town.url
    ) -> tuple[int, list[str]]:
        for name, value in (("LOSTID_URL", url), ("LOSTID_KEY", key), ("LOSTID_QUEUE_KEY", "11" * 32)):
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        code = program.main(list(arguments))
        return code, capsys.readouterr().out.splitlines()

    return run


def table(path: Path, rows: Iterable[dict[str, str]]) -> str:
    """A CSV file as spreadsheets write it: with a byte order mark."""
    found = list(rows)
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, found[0])
        writer.writeheader()
        writer.writerows(found)
    return str(path)


def guest(reference: str, document: Document) -> dict[str, str]:
    known = {"type": document.type, "number": document.number, "valid_from": document.valid_from or ""}
    return {"reference": reference, **known}


def test_hotel(town: Town, desk: Desk, tmp_path: Path) -> None:
    """Each guest of a reservation gets an instruction, and one who may not be let in makes the exit code 1."""
    lost = card()
    town.report(lost)
    party = {
        "good": card(),
        "lost": lost,
        "new": Document(lost.type, lost.number, valid_from=NEW),
        "bare": Document(lost.type, lost.number),
        "typo": Document(lost.type, lost.number[:-1] + "A"),
    }
    file = table(tmp_path / "party.csv", [guest(name, document) for name, document in party.items()])
    options = ("--operator", "desk-3", "--queue", str(tmp_path / "queue"))
    code, lines = desk(check_in, file, *options)
    assert (code, lines) == (
        1,
        [
            "good: check in",
            "lost: DO NOT check in; keep the guest company and call the police",
            "new: check in",
            "bare: turn the card over and enter the date on its back (valid from)",
            "typo: read the number again (characters)",
        ],
    )
    alone = table(tmp_path / "one.csv", [guest("good", card())])
    assert desk(check_in, alone, *options) == (0, ["good: check in"])


def test_hotel_through_an_outage(town: Town, desk: Desk, tmp_path: Path) -> None:
    """Who was let in while the line was down is checked when it is back, and the hit is shown."""
    lost = card()
    town.report(lost)
    file = table(tmp_path / "party.csv", [guest("r-1", lost), guest("r-2", card())])
    options = ("--operator", "desk-3", "--queue", str(tmp_path / "queue"))
    code, lines = desk(check_in, file, *options, url=NOBODY)
    assert code == 0
    assert [line.partition(" (")[0] for line in lines] == ["r-1: check in", "r-2: check in"]
    assert lost.number.encode() not in (tmp_path / "queue").read_bytes()
    alone = table(tmp_path / "one.csv", [guest("r-3", card())])
    code, lines = desk(check_in, alone, *options, url=NOBODY)
    assert lines[0] == "still no line: 2 checks wait"
    code, lines = desk(check_in, alone, *options)
    assert (code, lines) == (
        1,
        [
            "r-1: checked in during the outage, now reported: call the police",
            "3 checks made up for",
            "r-3: check in",
        ],
    )


def test_bank(town: Town, desk: Desk, tmp_path: Path) -> None:
    """The account is opened only over a receipt that is on file and verifies; a lost card's is filed as well."""
    lost, good = card(), card()
    town.report(lost)
    files = tmp_path / "receipts"
    options = ("--operator", "teller-2", "--valid-from", OLD, "--files", str(files))
    code, lines = desk(open_account, "--application", "A-1", *options, stdin=good.number + "\n")
    assert (code, lines) == (0, [f"open the account; receipt filed as {files / 'A-1.json'}"])
    code, lines = desk(open_account, "--application", "A-2", *options, stdin=lost.number + "\n")
    assert (code, lines) == (
        1,
        [f"do not open the account: the card is reported; receipt filed as {files / 'A-2.json'}"],
    )
    with town.client(town.checker) as client:
        keys = client.jwks()
    for name, status in (("A-1", "clear"), ("A-2", "reported")):
        text = (files / f"{name}.json").read_text()
        kept = json.loads(text)
        claims = verify_receipt(kept["receipt"], keys)
        assert (claims["status"], claims["reference"], claims["jti"]) == (status, name, kept["answer"]["id"])
        assert kept["receipt_salt"]
        assert good.number not in text
        assert lost.number not in text


def test_bank_without_an_answer(desk: Desk, tmp_path: Path) -> None:
    """No line, no account, nothing on file; a mistyped number is read again."""
    options = ("--application", "A-3", "--operator", "teller-2", "--files", str(tmp_path / "receipts"))
    assert desk(open_account, *options, stdin=card().number, url=NOBODY)[0] == 3
    code, lines = desk(open_account, *options, stdin=number()[:-1] + "?")
    assert (code, lines) == (1, ["read the number again: characters"])
    assert not (tmp_path / "receipts").exists()


def test_rail(town: Town, desk: Desk, tmp_path: Path) -> None:
    """A train's list comes out in its order, more than a batch of it: travel, gate or refuse."""
    lost = card()
    town.report(lost)
    people: dict[str, Document] = {f"t-{n}": card() for n in range(passengers.BATCH)}
    people |= {
        "lost": lost,
        "bare": Document(lost.type, lost.number),
        "typo": Document(lost.type, lost.number + "0"),
    }
    rows = [
        {"ticket": ticket, "type": who.type, "number": who.number, "valid_from": who.valid_from or "", "issue_no": ""}
        for ticket, who in people.items()
    ]
    list_ = table(tmp_path / "train.csv", rows)
    code, lines = desk(passengers, list_, "--operator", "train-g123")
    assert code == 1
    assert lines[0] == "ticket,decision"
    decisions = dict(line.split(",") for line in lines[1:])
    assert list(decisions) == list(people)
    assert [decisions.pop(name) for name in ("lost", "bare", "typo")] == ["refuse", "gate", "refuse (length)"]
    assert set(decisions.values()) == {"travel"}
    code, lines = desk(passengers, list_, "--operator", "train-g123", url=NOBODY)
    assert {line.split(",")[1] for line in lines[1:]} == {"gate"}


@pytest.fixture(scope="module")
def mirror(town: Town) -> dict[str, str]:
    """A gate's key and secret, as its environment."""
    id_, key = town.server.new_key(NewKey("live", "rail", ("mirror",)))
    secret = town.server.cli("keys", "mirror-secret", id_).stdout
    return {"LOSTID_MIRROR_KEY": key, "LOSTID_MIRROR_SECRET": secret}


def at_gate(*cards: Document | str) -> str:
    return "".join(
        f"{card if isinstance(card, str) else f'{card.type},{card.number},{card.valid_from or str()}'}\n"
        for card in cards
    )


def test_gate(town: Town, desk: Desk, mirror: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Clear by the mirror, or by the registry where the mirror asks; whoever is not clear is held."""
    for name, value in mirror.items():
        monkeypatch.setenv(name, value)
    lost = card()
    town.report(lost)
    new, bare = Document(lost.type, lost.number, valid_from=NEW), Document(lost.type, lost.number)
    cards = at_gate(card(), lost, new, bare, f"{lost.type},{lost.number[:-1]}A", "smudge")
    # The registry may need longer than a gate waits, where other tests keep the machine busy.
    monkeypatch.setattr(gate, "BUDGET_S", 10.0)
    options = ("--operator", "gate-14", "--max-age", "60", "--patience", "30")
    code, lines = desk(gate, *options, "--on-unavailable", "ask_person", stdin=cards)
    assert code == 1
    assert lines[0].startswith("open (clear as of 2")
    assert lines[1:] == [
        "closed (reported, the registry says)",
        "open (clear, the registry says)",
        "staff (indeterminate, the registry says)",
        "staff (characters)",
        "staff (not a card)",
    ]


@pytest.mark.parametrize(("policy", "told"), [("refuse", "closed"), ("ask_person", "staff")])
def test_gate_without_a_line(
    desk: Desk, mirror: dict[str, str], monkeypatch: pytest.MonkeyPatch, policy: str, told: str
) -> None:
    """No mirror, no registry: what the railway chose, for everybody."""
    for name, value in mirror.items():
        monkeypatch.setenv(name, value)
    options = ("--operator", "gate-14", "--max-age", "60", "--patience", "0.2", "--on-unavailable", policy)
    code, lines = desk(gate, *options, stdin=at_gate(card()), url=NOBODY)
    assert (code, lines) == (1, [f"{told} (no answer: unreachable)"])


def test_police_reports(town: Town, desk: Desk) -> None:
    """A report at the counter is in force when it is printed, and told twice it happens once."""
    lost = card()
    arguments = ("report", "--operator", "officer-117", "--case", "A-2026-11-0031", "--reason", "lost")
    instance = ("--valid-from", OLD, "--effective-at", "2026-11-20T09:00:00+08:00")
    code, lines = desk(counter, *arguments, *instance, key=town.reporter, stdin=lost.number)
    assert code == 0
    assert " is in_force since " in lines[0]
    assert desk(counter, *arguments, *instance, key=town.reporter, stdin=lost.number)[1] == lines
    with town.client(town.reporter) as client:
        history = client.history(lost, operator="officer-117", case_number="A-2026-11-0031")
    assert len(history) == 1
    refused = desk(counter, *arguments, *instance, key=town.checker, stdin=lost.number)
    assert (refused[0], refused[1]) == (1, ["refused: 403 role_missing"])
    assert desk(counter, *arguments, *instance, key=town.reporter, stdin=lost.number, url=NOBODY)[0] == 3


def test_police_takes_found_cards_in(town: Town, desk: Desk, tmp_path: Path) -> None:
    """Each line of the scanner's file is taken in or named with what is wrong with it."""
    found, bare = card(), card(None)
    rows: list[dict[str, Any]] = [
        {"type": each.type, "number": each.number, "valid_from": each.valid_from or "", "card_serial": ""}
        for each in (found, bare)
    ]
    file = table(tmp_path / "scans.csv", rows)
    arguments = ("found", file, "--operator", "officer-117", "--case", "F-2026-11")
    code, lines = desk(counter, *arguments, key=town.reporter)
    assert code == 0
    assert lines[0].startswith("line 2: rpt_")
    assert lines[0].endswith(" in_force")
    assert lines[1].startswith("line 3: not taken in (")
    assert "instance_required" in lines[1]
    with town.client(town.checker) as client:
        assert client.check(found, operator="desk-1", purpose="other").status == "reported"


def test_police_withdraws_by_two(town: Town, desk: Desk) -> None:
    """The officer asks, somebody of another station agrees, and the card is clear again."""
    lost = card()
    report = town.report(lost)
    asked = ("--operator", "officer-117", "--grounds", "returned_to_holder", "--evidence", "at the desk")
    code, lines = desk(counter, "withdraw", report, *asked, key=town.reporter)
    assert code == 0
    withdrawal = lines[0].split()[0]
    assert desk(counter, "approve", withdrawal, "--operator", "officer-117", key=town.reporter)[0] == 1
    code, lines = desk(counter, "approve", withdrawal, "--operator", "officer-204", key=town.approver)
    assert code == 0
    assert lines[0].startswith(f"{withdrawal} is approved since ")
    with town.client(town.checker) as client:
        assert client.check(lost, operator="desk-1", purpose="other").clear
