"""The number of a reported card in every wrong writing: refused, or read as what it is; never clear. Every way in."""

import csv
import io
import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.fuzz import numbers
from tests.fuzz.conftest import OFFICER, Target
from tests.fuzz.numbers import NUMBER, PLAIN
from tests.importing import HEADER, Importer
from tests.waiting import wait_for

INNOCENT = "990000198506120073"  # nobody's
MEMBERS = f'"type":"cn.resident-id","number":"{NUMBER}","valid_from":"2015-03-01"'
TOLD = ("reported", "void")
JSON = {"Content-Type": "application/json"}
BATCH = 400


@pytest.fixture(scope="module")
def client(target: Target) -> Iterator[httpx.Client]:
    allowed = {"Authorization": f"Bearer {target.key}"}
    with httpx.Client(base_url=target.server.url, headers=allowed, timeout=60, verify=False) as open_:  # noqa: S501
        yield open_


@pytest.fixture(scope="module", autouse=True)
def reported(client: httpx.Client) -> None:
    for members in (MEMBERS, numbers.PERMIT, numbers.LICENCE):
        document = json.loads(f"{{{members}}}")
        report = {"document": document, "reason": "lost", "operator": OFFICER, "case_number": "N-1"}
        if document["type"] == "cn.driving-licence":
            report["effective_at"] = "2026-11-01"
        response = client.post("/v1/reports", json=report, headers={"Idempotency-Key": uuid.uuid4().hex})
        assert response.status_code == 201, response.text


def _check(members: str) -> str:
    return f'{{"document":{{{members}}},"operator":"{OFFICER}","purpose":"other"}}'


def _batch(*documents: str) -> str:
    checks = ",".join(f'{{"document":{{{members}}}}}' for members in documents)
    return f'{{"operator":"{OFFICER}","purpose":"other","checks":[{checks}]}}'


def _search(members: str) -> str:
    return f'{{"document":{{{members}}},"operator":"{OFFICER}","case_number":"N-1"}}'


def _sent(client: httpx.Client, path: str, body: bytes, *, chunked: bool) -> httpx.Response:
    """Again where a busy machine could not prove its freshness: that is no answer, and none is asked for here."""
    found = []

    def answered() -> bool:
        found.append(client.post(path, content=iter((body,)) if chunked else body, headers=JSON))
        return found[-1].status_code != 503

    wait_for(answered, 30, "an answer")
    return found[-1]


def _number(token: str) -> str:
    return MEMBERS.replace(f'"{NUMBER}"', token)


def _told(client: httpx.Client, members: str) -> Iterator[tuple[str, Any]]:
    """(way, status of the card as it was told, or None where the request or the card was refused)."""
    for chunked in (False, True):
        single = _sent(client, "/v1/checks", _check(members).encode(), chunked=chunked)
        yield f"check {chunked=}", _single(single)
        batch = _sent(client, "/v1/checks/batch", _batch(MEMBERS, members).encode(), chunked=chunked)
        yield f"batch {chunked=}", _last(batch)
    found = _sent(client, "/v1/reports/search", _search(members).encode(), chunked=False)
    yield "search", None if found.is_client_error else "reported" if found.json()["reports"] else "clear"


def _single(response: httpx.Response) -> str | None:
    if response.is_client_error:
        return None
    return str(response.json()["status"])


def _last(response: httpx.Response) -> str | None:
    if response.is_client_error:
        return None
    result = response.json()["results"][-1]
    return None if "error" in result else str(result["status"])


@pytest.mark.parametrize("name", PLAIN)
def test_read_as_it_is(client: httpx.Client, name: str) -> None:
    """What is dropped or folded by the contract, and nothing else: reported, on every way."""
    for way, status in _told(client, _number(json.dumps(PLAIN[name]))):
        assert status == "reported", way


def test_escaped(client: httpx.Client) -> None:
    """An escaped character is the same character."""
    for way, status in _told(client, _number(numbers.escaped())):
        assert status == "reported", way


def test_texts(client: httpx.Client) -> None:
    """Every wrong writing is refused: each in a batch, some on every way."""
    texts = numbers.texts()
    assert len(texts) > 2_000
    for at in range(0, len(texts), BATCH):
        some, chunked = texts[at : at + BATCH], at // BATCH % 2 == 1
        body = _batch(*[_number(json.dumps(text, ensure_ascii=chunked)) for text in some]).encode()
        response = _sent(client, "/v1/checks/batch", body, chunked=chunked)
        assert response.status_code == 200, response.text[:500]
        for text, result in zip(some, response.json()["results"], strict=True):
            assert "error" in result, ascii(text)[:80]
    for text in texts[::211]:
        for way, status in _told(client, _number(json.dumps(text, ensure_ascii=False))):
            assert status is None, (way, ascii(text)[:80])


def test_tokens(client: httpx.Client) -> None:
    """What is no string is no number."""
    for name, token in numbers.tokens().items():
        for way, status in _told(client, _number(token)):
            assert status is None, (way, name)


def test_repeated(client: httpx.Client) -> None:
    """Who names something twice is not answered, in whichever order; nor a name that is almost the same."""
    for members in numbers.repeated(INNOCENT):
        for way, status in _told(client, members):
            assert status is None, (way, members)
    innocent = MEMBERS.replace(NUMBER, INNOCENT)
    for first, second in ((MEMBERS, innocent), (innocent, MEMBERS)):
        twice = f'{{"document":{{{first}}},"document":{{{second}}},"operator":"{OFFICER}","purpose":"other"}}'
        checks = twice.replace('"document"', '"checks"').replace(":{", ":[{").replace("},", "}],")
        for path, body in (("/v1/checks", twice), ("/v1/checks/batch", checks), ("/v1/reports/search", twice)):
            for chunked in (False, True):
                assert _sent(client, path, body.encode(), chunked=chunked).status_code in (400, 422)


def test_fields(client: httpx.Client) -> None:
    """The type and the day are as strict: what is wrong in them is refused, or leaves the card reported."""
    for members in numbers.fields():
        for way, status in _told(client, members):
            assert status in (None, *TOLD), (way, members)


def test_instances(client: httpx.Client) -> None:
    """So are a permit's count and a licence's serial, by which one card is told from the next."""
    for good in (numbers.PERMIT, numbers.LICENCE):
        assert {status for _, status in _told(client, good)} == {"reported"}
    for members in numbers.counts() + numbers.serials():
        for chunked in (False, True):
            single = _sent(client, "/v1/checks", _check(members).encode(), chunked=chunked)
            assert single.is_client_error, (members, single.text)
        batch = _sent(client, "/v1/checks/batch", _batch(MEMBERS, members).encode(), chunked=False)
        assert _last(batch) is None, (members, batch.text)


def test_encodings(client: httpx.Client) -> None:
    """A body in any other encoding is refused."""
    for path, body in (
        ("/v1/checks", _check(MEMBERS)),
        ("/v1/checks/batch", _batch(MEMBERS)),
        ("/v1/reports/search", _search(MEMBERS)),
        ("/v1/reports/history", _search(MEMBERS)),
    ):
        for name, raw in numbers.encoded(body).items():
            for chunked in (False, True):
                response = _sent(client, path, raw, chunked=chunked)
                refused = response.is_client_error or "error" in response.json()["results"][0]
                assert refused, (path, name, response.text)


def _csv(texts: list[str]) -> str:
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\r\n")
    rows.writerows([["cn.resident-id", text, "2015-03-01", "lost", f"N-{at}"] for at, text in enumerate(texts)])
    return f"{HEADER}\r\n{out.getvalue()}"


def _ndjson(texts: list[str]) -> str:
    row = {"type": "cn.resident-id", "valid_from": "2015-03-01", "reason": "lost", "case_number": "N-1"}
    return "".join(f"{json.dumps({**row, 'number': text}, ensure_ascii=False)}\n" for text in texts)


def test_import(target: Target) -> None:
    """No row with another writing is accepted, in any of the three formats; spaces around a cell of a table are the
    table's."""
    importer = Importer(target.server, target.key)
    lines = [text for text in numbers.texts() if "\n" not in text and "\r" not in text]
    cells = [text for text in lines if text.strip() != NUMBER]
    other, rows = cells[::5], lines[::3]
    for media, content, count in (
        ("text/csv; charset=utf-8", _csv(cells).encode(), len(cells)),
        ("text/csv; charset=gb18030", _csv(other).encode("gb18030"), len(other)),
        ("application/x-ndjson", _ndjson(rows).encode(), len(rows)),
    ):
        good = _csv([NUMBER]).encode().split(b"\r\n")[1] if "csv" in media else _ndjson([NUMBER]).encode().rstrip()
        id_ = importer.open(operator=OFFICER, dry_run=True)
        status, told = importer.send(id_, content + good, media)
        assert (status, told["state"]) == (202, "checked")
        assert told["counts"] == {"lines": count + 1, "accepted": 1, "rejected": count, "in_force": 0}, media
