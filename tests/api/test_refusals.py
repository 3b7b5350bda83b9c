"""What the edge refuses, and how: wrong bodies, the order of tests, the shape of problems."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from lostid.api.texts import TABLE
from tests.api.bodies import BODIES, GOOD, NO_STRICT_JSON, NUMBER, REFUSED_CARD, TEXT, Case
from tests.api.serving import Key, Served, check_of, person, report_of, resident

JSON = {"Content-Type": "application/json"}


@pytest.fixture(params=BODIES)
def case(request: pytest.FixtureRequest) -> Case:
    return BODIES[request.param]


def faults(response: httpx.Response) -> list[tuple[str, str]]:
    return [(fault["pointer"], fault["code"]) for fault in response.json().get("errors", ())]


def test_malformed_check(desk: httpx.Client, case: Case) -> None:
    """Each body gets its own problem, and what it held is not repeated."""
    body, status, code, errors = case
    response = desk.post("/v1/checks", content=body, headers=JSON)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert faults(response) == errors
    assert NUMBER not in response.text


@pytest.mark.parametrize("name", NO_STRICT_JSON)
def test_malformed_batch(desk: httpx.Client, name: str) -> None:
    """One document that is no strict JSON, deep in a batch, and the whole batch is none."""
    body, status, code, _ = NO_STRICT_JSON[name]
    inside = b'{"operator": "desk-1", "purpose": "other", "checks": [{"document": ' + (body or b",") + b"}]}"
    response = desk.post("/v1/checks/batch", content=inside, headers=JSON)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert NUMBER not in response.text


def test_form_in_a_batch(desk: httpx.Client) -> None:
    """A fault of form in one item refuses all, with its place; a refused number or instance only its item."""
    batch: dict[str, Any] = {"operator": "desk-1", "purpose": "other", "checks": [{"document": resident()}] * 2}
    for bad, pointer, code in (
        ({"document": {"type": "cn.resident-id"}}, "/checks/2/document/number", "field_missing"),
        ({"document": resident(), "operator": "x"}, "/checks/2/operator", "field_unknown"),
        ({"document": resident(), "reference": "a b"}, "/checks/2/reference", "value_invalid"),
        ({"document": resident(), "reference": person()}, "/checks/2/reference", "contains_document_number"),
        ({"document": resident(issue_no="1")}, "/checks/2/document/issue_no", "type_wrong"),
    ):
        response = desk.post("/v1/checks/batch", json={**batch, "checks": [*batch["checks"], bad]})
        assert response.status_code == 422
        assert faults(response) == [(pointer, code)]
    cards = [json.loads(body)["document"] for body, _, _, _ in REFUSED_CARD.values()]
    told = desk.post("/v1/checks/batch", json={**batch, "checks": [{"document": card} for card in cards]}).json()
    assert [result["error"]["code"] for result in told["results"]] == [case[3][0][1] for case in REFUSED_CARD.values()]


@pytest.mark.parametrize("path", ["/v1/reports", "/v1/reports/search", "/v1/reports/history"])
def test_malformed_elsewhere(counter: httpx.Client, path: str) -> None:
    """The control plane reads as strictly: every one of these bodies is a 4xx problem there."""
    for body, status, code, _ in BODIES.values():
        response = counter.post(path, content=body, headers={**JSON, "Idempotency-Key": "x"})
        assert response.headers["content-type"] == "application/problem+json"
        assert response.status_code == status
        assert response.json()["code"] == (code if status == 400 else "invalid")


def test_every_fault_has_a_place(counter: httpx.Client) -> None:
    """A report's faults are told with their pointers, several at once where they are faults of form."""
    body = {
        **report_of(resident(), "officer-1"),
        "replaced_by": {"valid_from": 3},
        "reason": "bored",
        "case_number": "",
    }
    response = counter.post("/v1/reports", json=body, headers={"Idempotency-Key": "x"})
    assert sorted(faults(response)) == [
        ("/case_number", "value_invalid"),
        ("/reason", "value_invalid"),
        ("/replaced_by/valid_from", "type_wrong"),
    ]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"effective_at": "yesterday"}, ("/effective_at", "value_invalid")),
        ({"effective_at": "2026-11-20T09:00:00"}, ("/effective_at", "value_invalid")),
        ({"effective_at": "2026-02-30"}, ("/effective_at", "value_invalid")),
        ({"effective_at": "1700-01-01"}, ("/effective_at", "value_invalid")),
        ({"effective_at": "2099-01-01"}, ("/effective_at", "in_future")),
        ({}, ("/effective_at", "field_missing")),
        ({"reason": "found", "effective_at": "2026-11-01"}, ("/valid_from", "instance_required")),
        ({"also_known_as": [{"type": "cn.passport", "number": "?"}]}, ("/also_known_as/0/number", "characters")),
        ({"replaced_by": {"valid_from": "2020-01-01"}}, ("/replaced_by", "instance_not_applicable")),
    ],
)
def test_refused_reports(counter: httpx.Client, change: dict[str, Any], fault: tuple[str, str]) -> None:
    """What the domain refuses of a report comes with its code and its place."""
    body = {**report_of(resident(), "officer-1"), **change}
    response = counter.post("/v1/reports", json=body, headers={"Idempotency-Key": "x"})
    assert response.status_code == 422, response.text
    pointer, code = fault
    assert faults(response) == [("/document/valid_from" if pointer == "/valid_from" else pointer, code)]


def test_type_mismatch_says_what_was_expected(desk: httpx.Client) -> None:
    """One card has one key: the declared type must be the one that the number decides."""
    response = desk.post("/v1/checks", json=check_of({"type": "cn.residence-permit", "number": person()}))
    assert response.json()["errors"] == [
        {"pointer": "/document/type", "code": "type_mismatch", "expected": "cn.resident-id"}
    ]


def test_order(server: Served, checker: Key) -> None:
    """401, 403 (role), 415, 413, 400, 422, the rest: each hides all that come after it."""
    auditor = server.key("court", "auditor")
    bound = server.key("bank", "checker", purposes=("bank.loan",))
    big = b" " * (256 * 1024 + 1)
    steps: list[tuple[Key | None, dict[str, str], bytes, str]] = [
        (None, {"Content-Type": "text/plain"}, big, "key_missing"),
        (auditor, {"Content-Type": "text/plain"}, big, "role_missing"),
        (checker, {"Content-Type": "text/plain"}, big, "media_type"),
        (checker, JSON, big, "body_too_large"),
        (checker, JSON, big[:100], "json_malformed"),
        (bound, JSON, TEXT.replace("desk-1", "Desk").encode(), "invalid"),
        (bound, JSON, TEXT.encode(), "purpose_not_allowed"),
    ]
    for path in ("/v1/checks", "/v1/checks/batch"):
        for key, headers, body, code in steps[: -2 if path.endswith("batch") else None]:
            with server.client(key) as client:
                response = client.post(path, content=body, headers=headers)
                assert (response.json()["code"], response.status_code) == (code, TABLE[code].status), path
    reporter = server.key("police", "reporter", station="s", operator="officer-9", reasons=("lost",))
    report = json.dumps(report_of(resident(valid_from="2015-03-01"), "officer-8", reason="stolen")).encode()
    keyed = {**JSON, "Idempotency-Key": "k"}
    steps = [
        *((key if key is not checker else reporter, headers, body, code) for key, headers, body, code in steps[:5]),
        (reporter, JSON, report, "idempotency_key_missing"),
        (reporter, {**JSON, "Idempotency-Key": "k" * 256}, report, "idempotency_key_missing"),
        (reporter, keyed, report.replace(b'"A-2026-0031"', b"7"), "invalid"),
        (reporter, keyed, report.replace(b"2015-03-01", b"2015-03-32"), "invalid"),
        (reporter, keyed, report, "operator_mismatch"),
        (reporter, keyed, report.replace(b"officer-8", b"officer-9"), "reason_not_allowed"),
    ]
    for key, headers, body, code in steps:
        with server.client(key) as client:
            response = client.post("/v1/reports", content=body, headers=headers)
            assert (response.json()["code"], response.status_code) == (code, TABLE[code].status)


def test_body_in_parts(desk: httpx.Client, server: Served) -> None:
    """A body without an announced length is read in parts, up to the same limit."""

    def parts(text: bytes, size: int) -> Iterator[bytes]:
        for at in range(0, len(text), size):
            yield text[at : at + size]

    assert desk.post("/v1/checks", content=parts(TEXT.encode(), 7), headers=JSON).status_code == 200
    for path in ("/v1/checks", "/v1/checks/batch"):
        response = desk.post(path, content=parts(b" " * 1_000_000, 60_000), headers=JSON)
        assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
    with server.client() as nobody:
        response = nobody.post("/v1/checks", content=parts(b" " * 100_000, 60_000), headers=JSON)
        assert response.json()["code"] == "key_missing"


@pytest.mark.parametrize(
    "media", ["text/json", "application/json; charset=utf-16", "application/x-www-form-urlencoded", ""]
)
def test_media_type(desk: httpx.Client, media: str) -> None:
    """JSON in UTF-8, said plainly, not compressed."""
    response = desk.post("/v1/checks", content=TEXT, headers={"Content-Type": media})
    assert (response.status_code, response.json()["code"]) == (415, "media_type")
    for good in ('Application/JSON; charset="UTF-8"', "application/json;"):
        assert desk.post("/v1/checks", content=TEXT, headers={"Content-Type": good}).status_code == 200
    packed = desk.post("/v1/checks", content=TEXT, headers={**JSON, "Content-Encoding": "gzip"})
    assert packed.status_code == 415


def test_problem_shape(desk: httpx.Client) -> None:
    """RFC 9457, with the request's id in the header and in the document."""
    response = desk.post("/v1/checks", content=b"", headers={**JSON, "Request-Id": "my_request-9"})
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["request-id"] == "my_request-9"
    assert response.json() == {
        "type": "/problems/json_malformed",
        "title": "Malformed JSON",
        "status": 400,
        "detail": TABLE["json_malformed"].detail,
        "code": "json_malformed",
        "request_id": "my_request-9",
    }
    made = desk.post("/v1/checks", content=b"", headers={**JSON, "Request-Id": "short"})
    assert made.json()["request_id"] == made.headers["request-id"]
    assert made.json()["request_id"].startswith("req_")


@pytest.mark.parametrize(
    ("wanted", "language"),
    [
        ("zh", "zh"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en, zh;q=0.5", "en"),
        ("fr", "en"),
        ("zh;q=x", "en"),
        ("", "en"),
    ],
)
def test_chinese(desk: httpx.Client, wanted: str, language: str) -> None:
    """Who prefers Chinese is refused in Chinese, in the lane and in the control plane alike."""
    for path in ("/v1/checks", "/v1/reports", "/nowhere"):
        response = desk.post(path, content=b"", headers={**JSON, "Accept-Language": wanted})
        text = TABLE[response.json()["code"]]
        assert response.json()["title"] == (text.title_zh if language == "zh" else text.title)
        assert response.headers["content-language"] == language


def test_request_id_is_no_place_for_a_number(desk: httpx.Client, counter: httpx.Client) -> None:
    """A Request-Id that reads as a document number is refused and not echoed, not in other problems either."""
    number = person()
    for client, path, body in ((desk, "/v1/checks", GOOD), (counter, "/v1/reports/search", None)):
        search = {"operator": "officer-1", "case_number": "A-1"}
        response = client.post(path, json=body or search, headers={"Request-Id": number})
        assert faults(response) == [("/headers/Request-Id", "contains_document_number")]
        assert number not in response.text + str(response.headers)
        other = client.post(path, content=b"", headers={**JSON, "Request-Id": f"{number[:6]}_{number[6:]}"})
        assert other.status_code == 400
        assert number[6:] not in other.text + str(other.headers)


def test_who_asks_comes_before_what(server: Served, desk: httpx.Client) -> None:
    """The log tells 401 and 403 before it finds fault with the Request-Id."""
    headers = {"Request-Id": person()}
    with server.client() as stranger:
        assert stranger.get("/v1/log/checkpoint", headers=headers).status_code == 401
    assert desk.get("/v1/log/checkpoint", headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("method", "path", "code", "allow"),
    [
        ("GET", "/", "not_found", None),
        ("POST", "/v1/nothing", "not_found", None),
        ("POST", "/v1/checks/", "not_found", None),
        ("GET", "/v1/reports/rpt_1", "not_found", None),
        ("GET", "/v1/checks", "method_not_allowed", "POST"),
        ("DELETE", "/v1/checks/batch", "method_not_allowed", "POST"),
        ("PUT", "/v1/reports", "method_not_allowed", "POST"),
        ("POST", "/livez", "method_not_allowed", "GET, HEAD"),
        ("OPTIONS", "/livez", "method_not_allowed", "GET, HEAD"),
        ("PATCH", "/v1/reports/rpt_1", "method_not_allowed", "GET, HEAD"),
        ("GET", "/v1/reports/search", "method_not_allowed", "POST"),
        ("HEAD", "/v1/reports/history", "method_not_allowed", "POST"),
        ("PROPFIND", "/v1/reports/search", "method_not_allowed", "POST"),
        ("PROPFIND", "/v1/checks", "method_not_allowed", "POST"),
        ("GET", "/LIVEZ", "not_found", None),
        ("GET", "/livez/", "not_found", None),
        ("GET", "//livez", "not_found", None),
        ("GET", "/v1%2Fstatus", "not_found", None),
        ("GET", "/v1/%00", "not_found", None),
    ],
)
def test_nowhere(counter: httpx.Client, method: str, path: str, code: str, allow: str | None) -> None:
    """What is not there is a problem like all others."""
    response = counter.request(method, path)
    assert response.status_code == TABLE[code].status
    assert method == "HEAD" or response.json()["code"] == code
    assert response.headers.get("allow") == allow
    assert response.headers["content-type"] == "application/problem+json"
