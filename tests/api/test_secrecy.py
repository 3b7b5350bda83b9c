"""No number in a URL, a log line, a metric, an error, an answer; nor anywhere in the ledger."""

import re
from typing import Any

import httpx
from psycopg.sql import SQL, Identifier

from lostid.api.ids import reads_as_number
from tests.api.serving import Key, Served, check_of, person, report_of


def everywhere(number: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Requests that put a number where it does not belong. (method, path, keywords)"""
    body = check_of({"type": "cn.resident-id", "number": number})
    report = report_of({"type": "cn.resident-id", "number": number}, "officer-1")
    return [
        ("GET", f"/v1/reports/{number}", {}),
        ("GET", f"/v1/checks/{number}?number={number}", {}),
        (number, "/v1/checks", {}),
        ("POST", "/v1/checks", {"json": {**body, "operator": number.lower()}}),
        ("POST", "/v1/checks", {"json": {**body, "reference": number}}),
        ("POST", "/v1/checks", {"json": {**body, "purpose": number}}),
        ("POST", "/v1/checks", {"json": {**body, number: number}}),
        ("POST", "/v1/checks", {"json": {**body, "document": {"type": number, "number": number, number: 1}}}),
        ("POST", "/v1/checks", {"json": {**body, "document": {**body["document"], "valid_from": number}}}),
        ("POST", "/v1/checks", {"json": number}),
        ("POST", "/v1/checks", {"content": f'{{"a": {number[:17]}'.encode()}),
        ("POST", "/v1/checks", {"json": body, "headers": {"Request-Id": number, "Accept-Language": number}}),
        ("POST", "/v1/checks", {"json": body, "headers": {"Authorization": f"Bearer {number}"}}),
        ("POST", "/v1/checks", {"json": body, "headers": {"Content-Type": number}}),
        ("POST", "/v1/reports", {"json": {**report, "case_number": number}, "headers": {"Idempotency-Key": number}}),
        ("POST", "/v1/reports", {"json": {**report, "reason": number}, "headers": {"Idempotency-Key": number}}),
        ("POST", "/v1/reports", {"json": {**report, "effective_at": number}, "headers": {"Idempotency-Key": number}}),
        ("POST", "/v1/reports/search", {"json": {"operator": "officer-1", "case_number": "A", "cursor": number}}),
        ("POST", "/v1/reports/history", {"json": {**report, "reason": number}}),
    ]


def test_nowhere(server: Served, reporter: Key) -> None:
    """Whatever the place, the number does not come back and is not written down."""
    number = person()
    with server.client(reporter) as client:
        for method, path, sent in everywhere(number):
            response = client.request(method, path, **sent)
            said = f"{response.headers} {response.text}"
            assert number not in said
            assert number.lower() not in said
            assert response.status_code < 500
        report = report_of({"type": "cn.resident-id", "number": number}, "officer-1", effective_at="2026-11-01")
        told = client.post("/v1/reports", json=report, headers={"Idempotency-Key": number})
        assert told.status_code == 201
        assert client.post("/v1/checks", json=check_of(report["document"], operator="officer-1")).status_code == 200
        assert number not in client.get("/metrics").text + client.get("/v1/status").text
    log = server.log.read_text()
    assert '"event":"request"' in log
    assert number not in log.upper()


def test_ledger(server: Served, counter: httpx.Client) -> None:
    """Not one text, JSON or byte string in the whole ledger reads as the number of a person."""
    number = person()
    report = report_of({"type": "cn.resident-id", "number": number}, "officer-1", effective_at="2026-11-01")
    assert counter.post("/v1/reports", json=report, headers={"Idempotency-Key": number}).status_code == 201

    async def rows(conn: Any) -> list[str]:
        tables = await (await conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).fetchall()
        found: list[str] = []
        for (table,) in tables:
            cursor = await conn.execute(SQL("SELECT t::text FROM {} t").format(Identifier(table)))
            found += [row[0] for row in await cursor.fetchall()]
        return found

    written = server.in_ledger(rows)
    assert any("A-2026-0031" in row for row in written)
    for row in written:
        assert number not in row
        hidden = [bytes.fromhex(blob).decode("latin-1") for blob in re.findall(r"\\x((?:[0-9a-f]{2})+)", row)]
        assert not any(number in text for text in hidden)
        assert not any(reads_as_number(text) for text in hidden if text.isascii())
