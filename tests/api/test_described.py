"""openapi.json is what the code says, and what the code says is what it does; the tables are those of the contract."""

import json
import re
from pathlib import Path

import httpx

from lostid.api import openapi
from lostid.api.texts import TABLE
from lostid.domain.documents import TYPES
from lostid.domain.errors import REFUSALS
from lostid.domain.reasons import REASONS
from lostid.domain.roles import PURPOSES, ROLES
from tests.api.schema_check import check_against
from tests.api.serving import Served, check_of, person, report_of, resident

ROOT = Path(__file__).parents[2]
NO_REQUESTS = {"request_malformed", "head_too_large"}  # what is no request at all, of which the contract says nothing
CONTRACT = ROOT.parent / "shared" / "contract.md"


def test_generated() -> None:
    """The committed file is the generated one: `python -m lostid.api.openapi > openapi.json`."""
    assert (ROOT / "openapi.json").read_text("utf-8") == openapi.text()


def test_no_loose_ends() -> None:
    """Every reference in the document leads somewhere, and every component is used."""
    text = openapi.text()
    described = json.loads(text)
    used = set(re.findall(r'"#/components/(\w+/\w+)"', text))
    there = {
        f"{kind}/{name}"
        for kind, parts in described["components"].items()
        for name in parts
        if kind != "securitySchemes"
    }
    assert used == there


def test_answers(server: Served, desk: httpx.Client, counter: httpx.Client) -> None:
    """Real answers have the fields that are described, all that are required, and no other."""
    card = resident(valid_from="2015-03-01")
    bare = {"type": card["type"], "number": card["number"]}
    receipt = counter.post("/v1/reports", json=report_of(card, "officer-1"), headers={"Idempotency-Key": person()[:17]})
    check_against("ReportReceipt", receipt.json())
    for client, document in ((desk, card), (desk, bare), (counter, card)):
        operator = "officer-1" if client is counter else "desk-1"
        answer = client.post("/v1/checks", json=check_of(document, operator=operator)).json()
        check_against("CheckAnswer", answer)
    first_generation = {"type": "cn.resident-id", "number": "110105491231002"}
    check_against("CheckAnswer", desk.post("/v1/checks", json=check_of(first_generation)).json())
    checks = [{"document": card}, {"document": bare, "reference": "r"}, {"document": first_generation}]
    checks += [{"document": {**bare, "type": "cn.residence-permit"}, "reference": "e"}]
    for client, operator in ((desk, "desk-1"), (counter, "officer-1")):
        batch = {"operator": operator, "purpose": "other", "checks": checks}
        check_against("BatchAnswer", client.post("/v1/checks/batch", json=batch).json())
    check_against("Report", counter.get(receipt.headers["location"]).json())
    ask = {"operator": "officer-1", "case_number": "A-2026-0031"}
    check_against("ReportList", counter.post("/v1/reports/search", json={**ask, "limit": 1}).json())
    check_against("EntryList", counter.post("/v1/reports/history", json={**ask, "document": card, "limit": 1}).json())
    for path, name in (("/livez", "Alive"), ("/readyz", "Readiness"), ("/v1/status", "Status")):
        check_against(name, desk.get(path).json())
    check_against("Problem", desk.post("/v1/checks", json=check_of({**bare, "type": "cn.residence-permit"})).json())
    check_against("Problem", desk.get("/v1/nowhere").json())


def test_examples(desk: httpx.Client, counter: httpx.Client) -> None:
    """The document's own examples work when they are sent."""
    paths = json.loads(openapi.text())["paths"]
    example = paths["/v1/checks"]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert desk.post("/v1/checks", json=example).status_code == 200
    report = paths["/v1/reports"]["post"]["requestBody"]["content"]["application/json"]["example"]
    response = counter.post("/v1/reports", json={**report, "operator": "officer-1"}, headers={"Idempotency-Key": "eg"})
    assert response.status_code == 201


def contract_rows(text: str, heading: str) -> list[list[str]]:
    """The backticked words of each row of the first table after the heading."""
    table = re.search(r"(?:^\|.*\n)+", text[text.index(heading) :], re.MULTILINE)
    assert table is not None
    return [re.findall(r"`([^`]+)`", row) for row in table[0].splitlines()[2:]]


def test_contract() -> None:
    """The tables of the contract and those in the code are the same, where the contract lies beside the checkout."""
    if not CONTRACT.exists():
        return
    text = CONTRACT.read_text("utf-8")
    problems = re.findall(r"^\| ([0-9, ]+) \| (.+) \|$", text, re.MULTILINE)
    told: dict[str, set[int]] = {}
    for statuses, codes in problems:
        for code in re.findall(r"`([a-z_]+)`", codes):
            told.setdefault(code, set()).update(int(status) for status in statuses.split(","))
    for code, statuses in told.items():
        if code in TABLE:
            assert TABLE[code].status in statuses, code
    assert set(TABLE) - set(told) == NO_REQUESTS
    assert set(told) - set(TABLE) <= {"errors", "id"}
    assert [row[0] for row in contract_rows(text, "| type | number |")] == list(TYPES)
    (purposes,) = re.findall(r"Purposes: `([^`]+)`", text)
    assert purposes.split() == list(PURPOSES)
    reversible, final = re.findall(r"- `reason`: `([^`]+)` \(status `reported`\), `([^`]+)` \(status `void`\)", text)[0]
    assert (reversible + " " + final).split() == list(REASONS)
    assert [reason.name for reason in REASONS.values() if reason.final] == final.split()
    (refusals,) = re.findall(r"Refusals, the first that applies: `([^`]+)`", text)
    assert refusals.split() == list(REFUSALS)
    (roles,) = re.findall(r"Roles: `([^`]+)`", text)
    assert roles.split() == list(ROLES)
