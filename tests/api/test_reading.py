"""Looking up reports: who sees what of them, in which order, how often; and never the number."""

import httpx
import pytest

from lostid.ledger.statement import AsyncConn
from tests.api.serving import Served, person, report_of, resident

DAY = "2015-03-01"


def put(client: httpx.Client, document: dict[str, object], operator: str = "officer-1", **more: object) -> str:
    body = report_of(document, operator, **more)
    response = client.post("/v1/reports", json=body, headers={"Idempotency-Key": person()[:17]})
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


def test_show(server: Served, counter: httpx.Client) -> None:
    """A report is shown with type, covers and case number to its organisation, and to nobody else."""
    card = resident(valid_from=DAY)
    id_ = put(counter, card, effective_at="2026-11-18")
    told = counter.get(f"/v1/reports/{id_}").json()
    assert told["covers"] == {"types": ["cn.resident-id"], "valid_from_through": DAY}
    assert (told["type"], told["state"], told["case_number"]) == ("cn.resident-id", "in_force", "A-2026-0031")
    assert told["effective_at"] == "2026-11-17T16:00:00.000Z"
    for org, env in (("police-9", "live"), ("police", "test")):
        with server.client(server.key(org, "reporter", station="s", operator="o", env=env)) as other:
            assert other.get(f"/v1/reports/{id_}").status_code == 404


def test_search_by_document(server: Served, counter: httpx.Client) -> None:
    """Every report on the document, oldest first; of other organisations what is in force, not their cases."""
    card = resident(valid_from=DAY)
    ids = [put(counter, card), put(counter, card, reason="stolen")]
    elsewhere = server.key("police-3", "reporter", station="s", operator="officer-3")
    search = {"operator": "officer-3", "case_number": "B-1", "document": {**card, "valid_from": "2020-01-01"}}
    with server.client(elsewhere) as client:
        told = client.post("/v1/reports/search", json=search).json()["reports"]
    assert [report["id"] for report in told] == ids
    assert [report["reason"] for report in told] == ["lost", "stolen"]
    assert not {"case_number", "operator", "station"} & set(told[0])


def test_search_by_case(counter: httpx.Client) -> None:
    """The organisation's own reports under a case number, page by page."""
    ids = [put(counter, resident(valid_from=DAY), case_number="C-77") for _ in range(5)]
    search = {"operator": "officer-1", "case_number": "C-77", "limit": 2}
    found, cursor, pages = [], None, 0
    while pages < 5:
        page = counter.post("/v1/reports/search", json=search | ({"cursor": cursor} if cursor else {})).json()
        found += [report["id"] for report in page["reports"]]
        pages, cursor = pages + 1, page["next_cursor"]
        if cursor is None:
            break
    assert found == ids
    assert pages == 3
    late = {**search, "limit": 50, "recorded_since": "2099-01-01T00:00:00Z"}
    assert counter.post("/v1/reports/search", json=late).json() == {"reports": [], "next_cursor": None}


def test_search_by_case_is_journalled(server: Served, counter: httpx.Client) -> None:
    """Also where no document is named: who pages through an organisation's cases leaves a line for each page."""
    search = {"operator": "officer-1", "case_number": "C-78"}
    for _ in range(2):
        assert counter.post("/v1/reports/search", json=search).status_code == 200

    async def lines(conn: AsyncConn) -> list[tuple[str, bytes | None]]:
        rows = await conn.execute(
            "SELECT operator, doc_key FROM journal WHERE purpose = 'search' AND reference = 'C-78'"
        )
        return [(operator, key) for operator, key in await rows.fetchall()]

    assert server.in_ledger(lines) == [("officer-1", None)] * 2


@pytest.mark.parametrize("path", ["search", "history"])
def test_refused_instance(counter: httpx.Client, path: str) -> None:
    """An instance that cannot be is refused, though the answer is about all cards of the number."""
    for instance, code in (({"valid_from": "bad"}, "instance_invalid"), ({"issue_no": 1}, "instance_not_applicable")):
        asked = {"operator": "officer-1", "case_number": "C-79", "document": resident(**instance)}
        response = counter.post(f"/v1/reports/{path}", json=asked)
        (field,) = instance
        assert response.status_code == 422
        assert [(fault["pointer"], fault["code"]) for fault in response.json()["errors"]] == [
            (f"/document/{field}", code)
        ]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"limit": 0}, ("/limit", "value_invalid")),
        ({"limit": 201}, ("/limit", "value_invalid")),
        ({"cursor": "%%"}, ("/cursor", "value_invalid")),
        ({"cursor": "AAAA"}, ("/cursor", "value_invalid")),
        ({"cursor": "MS4A"}, ("/cursor", "value_invalid")),  # "1.", and a byte that the ledger cannot hold
        ({"recorded_since": "monday"}, ("/recorded_since", "value_invalid")),
        ({"recorded_since": "2026-11-20"}, ("/recorded_since", "value_invalid")),
    ],
)
def test_bad_search(counter: httpx.Client, change: dict[str, object], fault: tuple[str, str]) -> None:
    """Bad pages and times are faults of their own."""
    search = {"operator": "officer-1", "case_number": "C-77", **change}
    (told,) = counter.post("/v1/reports/search", json=search).json()["errors"]
    assert (told["pointer"], told["code"]) == fault


def test_bad_page(server: Served) -> None:
    """A page of no lines is no page."""
    with server.client(server.key("police", "importer", station="s", operator="o")) as importer:
        response = importer.get(f"/v1/imports/imp_{'0' * 32}/rejections?limit=0")
    assert response.json()["errors"] == [{"pointer": "/query/limit", "code": "value_invalid"}]


def test_history(counter: httpx.Client) -> None:
    """Every entry of a document, oldest first, page by page."""
    card = resident(valid_from=DAY)
    reasons = ["lost", "found", "replaced"]
    for reason in reasons:
        put(counter, card, reason=reason)
    ask = {"operator": "officer-1", "case_number": "A-1", "document": card}
    told = counter.post("/v1/reports/history", json=ask).json()["entries"]
    assert [entry["reason"] for entry in told] == reasons
    assert [entry["seq"] for entry in told] == sorted(entry["seq"] for entry in told)
    assert {entry["kind"] for entry in told} == {"report"}
    first = counter.post("/v1/reports/history", json={**ask, "limit": 2}).json()
    rest = counter.post("/v1/reports/history", json={**ask, "limit": 2, "cursor": first["next_cursor"]}).json()
    assert first["entries"] + rest["entries"] == told
    assert rest["next_cursor"] is None


def test_rationed(server: Served) -> None:
    """Two hundred documents an operator and day; the two hundred and first is refused, those seen may be seen again."""
    curious = server.key("police", "reporter", station="s", operator="curious")
    ask = {"operator": "curious", "case_number": "A-1"}
    with server.client(curious) as client:
        cards = [resident() for _ in range(200)]
        for card in cards:
            assert client.post("/v1/reports/search", json={**ask, "document": card}).status_code == 200
        more = client.post("/v1/reports/history", json={**ask, "document": resident()})
        assert (more.status_code, more.json()["code"]) == (403, "cap_reached")
        assert client.post("/v1/reports/history", json={**ask, "document": cards[7]}).status_code == 200


def test_operator(counter: httpx.Client) -> None:
    """A search is one operator's: the key's."""
    for path in ("search", "history"):
        ask = {"operator": "officer-2", "case_number": "A-1", "document": resident()}
        assert counter.post(f"/v1/reports/{path}", json=ask).json()["code"] == "operator_mismatch"
        worse = {**ask, "document": {"type": "cn.resident-id", "number": "1"}}  # a fault in the body comes first
        assert counter.post(f"/v1/reports/{path}", json=worse).json()["code"] == "invalid"
