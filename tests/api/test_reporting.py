"""Reports against a real server: every reason and type, what they cover, and idempotency as callers meet it."""

import asyncio
import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import httpx
import pytest

from lostid.domain.gb11643 import check_character
from lostid.domain.reasons import REASONS
from lostid.engines import postgres
from lostid.ledger import writes
from lostid.ledger.pool import aconnect
from tests.api.serving import Key, Served, check_of, person, report_of, resident

DAY = "2015-03-01"
LOSS = "2026-11-18T09:00:00+08:00"


def post(client: httpx.Client, body: dict[str, Any], key: str) -> httpx.Response:
    return client.post("/v1/reports", json=body, headers={"Idempotency-Key": key})


def status(client: httpx.Client, document: dict[str, Any]) -> str:
    answer = client.post("/v1/checks", json=check_of(document)).json()
    return str(answer.get("status", answer))


def eight() -> str:
    """Eight digits that no other test uses."""
    return person()[6:14][:1] + person()[-8:-1]


def permit(area: str) -> str:
    return person(area=area)


_SERIALS = iter(f"3100{n:09d}" for n in range(1000))
TABLE: dict[str, tuple[Any, str]] = {
    # type: (a document with its instance, the instance's field)
    "cn.resident-id": (lambda: resident(valid_from=DAY), "valid_from"),
    "cn.residence-permit": (lambda: {"number": permit("810000"), "valid_from": "2019-03-01"}, "valid_from"),
    "cn.foreign-permanent-resident": (lambda: {"number": permit("911000"), "valid_from": "2019-03-01"}, "valid_from"),
    "cn.driving-licence": (lambda: {"number": person(), "card_serial": next(_SERIALS)}, "card_serial"),
    "cn.hk-macau-permit": (lambda: {"number": "H" + eight(), "issue_no": 2}, "issue_no"),
    "cn.taiwan-permit": (lambda: {"number": eight(), "issue_no": 2}, "issue_no"),
    "cn.passport": (lambda: {"number": "E" + eight()}, ""),
    "icao.passport": (lambda: {"number": "C" + eight(), "issuing_state": "D"}, ""),
}


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("type_", TABLE)
def test_every_reason_and_type(desk: httpx.Client, counter: httpx.Client, type_: str, reason: str) -> None:
    """The named card is refused as the reason says, `void` or `reported`, and the answer never shows the number."""
    make, field = TABLE[type_]
    card = {"type": type_, **make()}
    if type_ == "cn.passport":
        card["number"] = f"E{eight()}"
    assert status(desk, card) == "clear"
    response = post(counter, report_of(card, "officer-1", reason=reason, effective_at=LOSS), f"{type_}{reason}")
    assert response.status_code == 201, response.text
    told = response.json()
    assert told["state"] == "in_force"
    assert told["visibility"]["confirmed"] == told["visibility"]["hosts"] == 1
    assert response.headers["location"] == f"/v1/reports/{told['id']}"
    assert card["number"] not in response.text
    assert type_ in told["covers"]["types"]
    assert status(desk, card) == ("void" if REASONS[reason].final else "reported")
    newer = {"valid_from": "2026-11-19", "issue_no": 3, "card_serial": "9" * 13}
    if field and reason != "deceased":
        assert status(desk, {**card, field: newer[field]}) == "clear"
        bare = {name: value for name, value in card.items() if name != field}
        assert status(desk, bare) == "indeterminate"


def test_no_instance(desk: httpx.Client, counter: httpx.Client) -> None:
    """Without an instance every card issued up to the day of loss is covered, in the registry's zone."""
    number = {"type": "cn.resident-id", "number": person()}
    late = "2026-11-18T23:30:00Z"  # in Shanghai it is the 19th
    told = post(counter, report_of(number, "officer-1", effective_at=late), person()).json()
    assert told["covers"] == {"types": ["cn.resident-id"], "valid_from_through": "2026-11-19"}
    assert status(desk, {**number, "valid_from": "2026-11-19"}) == "reported"
    assert status(desk, {**number, "valid_from": "2026-11-20"}) == "clear"


def test_replaced_by(desk: httpx.Client, counter: httpx.Client) -> None:
    """The new card, once named, is clear, and the earlier report that reached it ends before it."""
    number = {"type": "cn.resident-id", "number": person()}
    post(counter, report_of(number, "officer-1", effective_at="2026-11-18"), person())
    assert status(desk, {**number, "valid_from": "2026-11-10"}) == "reported"
    replaced = report_of(number, "officer-1", reason="replaced", replaced_by={"valid_from": "2026-11-10"})
    told = post(counter, replaced, person()).json()
    assert told["covers"]["valid_from_through"] == "2026-11-09"
    assert status(desk, {**number, "valid_from": "2026-11-10"}) == "clear"
    assert status(desk, {**number, "valid_from": "2026-11-09"}) == "void"


def test_deceased(desk: httpx.Client, counter: httpx.Client) -> None:
    """A death covers every card of the number under every type that can carry it."""
    number = person()
    body = report_of({"type": "cn.resident-id", "number": number}, "officer-1", reason="deceased")
    told = post(counter, {**body, "effective_at": "2026-11-01"}, person()).json()
    assert told["covers"]["types"] == ["cn.resident-id", "cn.driving-licence"]
    assert status(desk, {"type": "cn.resident-id", "number": number, "valid_from": "2026-11-20"}) == "void"
    assert status(desk, {"type": "cn.driving-licence", "number": number}) == "void"


def test_also_known_as(desk: httpx.Client, counter: httpx.Client) -> None:
    """The record is written under each number that the report names."""
    first17 = "911000" + f"{date(1991, 2, 3):%Y%m%d}" + "007"
    new, old = first17 + check_character(first17), "USA110191020301"
    card = {"type": "cn.foreign-permanent-resident", "number": new, "valid_from": "2024-01-01"}
    alias = {"type": "cn.foreign-permanent-resident", "number": old}
    told = post(counter, report_of(card, "officer-1", effective_at=LOSS, also_known_as=[alias]), person())
    assert told.status_code == 201, told.text
    assert status(desk, card) == "reported"
    assert status(desk, {**alias, "valid_from": "2023-01-01"}) == "reported"


def test_replay(counter: httpx.Client) -> None:
    """Same key and body: the same answer, marked; key order and spaces do not make another body."""
    body = report_of(resident(valid_from=DAY), "officer-1")
    first = post(counter, body, "replay-1")
    assert "idempotent-replayed" not in first.headers
    for text in (json.dumps(body), json.dumps(body, sort_keys=True, indent=3)):
        again = counter.post(
            "/v1/reports", content=text, headers={"Idempotency-Key": "replay-1", "Content-Type": "application/json"}
        )
        assert (again.status_code, again.json()) == (201, first.json())
        assert again.headers["idempotent-replayed"] == "true"
        assert again.headers["location"] == first.headers["location"]


def test_at_once(counter: httpx.Client) -> None:
    """Many who ask at once get one answer; one of them made it, and all others are told that theirs is a replay."""
    body, many = report_of(resident(valid_from=DAY), "officer-1"), 8
    with ThreadPoolExecutor(many) as pool:
        told = [
            answer for answer in pool.map(lambda _: post(counter, body, "at-once"), range(many)) if answer.is_success
        ]
    assert len({answer.content for answer in told}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in told) == 1


def test_spaces_around_a_value(counter: httpx.Client) -> None:
    """White space around a header's value is no part of it (RFC 9110 section 5.5)."""
    body = report_of(resident(valid_from=DAY), "officer-1")
    connection = http.client.HTTPConnection(counter.base_url.host, counter.base_url.port or 80)
    headers = {"Authorization": counter.headers["authorization"], "Content-Type": "application/json"}
    spaced = {**headers, "Idempotency-Key": " spaced \t", "Request-Id": "spaced-id "}
    connection.request("POST", "/v1/reports", json.dumps(body), spaced)
    first = connection.getresponse()
    assert (first.status, first.getheader("request-id")) == (201, "spaced-id"), first.read()
    connection.close()
    assert post(counter, body, "spaced").headers["idempotent-replayed"] == "true"


def test_reuse(server: Served, counter: httpx.Client) -> None:
    """Another body under the same key is refused; another organisation has keys of its own."""
    card = resident(valid_from=DAY)
    assert post(counter, report_of(card, "officer-1"), "reuse-1").status_code == 201
    other = post(counter, report_of(card, "officer-1", reason="stolen"), "reuse-1")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    elsewhere = server.key("police-2", "reporter", station="station-1", operator="officer-1")
    with server.client(elsewhere) as client:
        told = post(client, report_of(card, "officer-1"), "reuse-1")
        assert (told.status_code, "idempotent-replayed" in told.headers) == (201, False)


def test_refusals_are_not_kept(counter: httpx.Client) -> None:
    """Only what succeeded is kept under the key: a corrected body may use it."""
    body = report_of(resident(), "officer-1")
    assert post(counter, body, "kept-1").status_code == 422
    assert post(counter, {**body, "effective_at": LOSS}, "kept-1").status_code == 201


def test_two_at_once(server: Served, reporter: Key) -> None:
    """However many at once: one entry, one answer; who comes while it is being written is told to wait."""
    body = report_of(resident(valid_from=DAY), "officer-1")

    def send(_: int) -> httpx.Response:
        with server.client(reporter) as client:
            return post(client, body, "at-once-1")

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(send, range(24)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    good = [answer.json() for answer in answers if answer.status_code == 201]
    assert len(good) >= 1
    assert all(answer == good[0] for answer in good)
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {"idempotency_key_in_use"}


def test_in_use(server: Served, counter: httpx.Client, reporter: Key) -> None:
    """A key that another transaction has reserved and not committed: 409, at once."""
    body = report_of(resident(valid_from=DAY), "officer-1")
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    request = f"POST /v1/reports\n{canonical}".encode()
    key = writes.write_key(server.keyring.fingerprint_key, "live", "police", "in-use-1", request)

    async def meanwhile() -> httpx.Response:
        conn = await aconnect(postgres.embedded_dsn(server.settings.place), name="test")
        async with conn, conn.transaction():
            assert isinstance(await writes.begin(conn, key), writes.New)
            return await asyncio.to_thread(post, counter, body, "in-use-1")

    refused = asyncio.run(meanwhile())
    assert (refused.status_code, refused.json()["code"]) == (409, "idempotency_key_in_use")
    assert post(counter, body, "in-use-1").status_code == 201


def test_recorded_and_not_answered(server: Served, counter: httpx.Client, reporter: Key) -> None:
    """A report whose writer died after its commit is answered to whoever asks again: same entry, same covers."""
    body = report_of(resident(valid_from=DAY), "officer-1")
    first = post(counter, body, "died-1").json()

    async def forget(conn: Any) -> int:
        cursor = await conn.execute("UPDATE writes SET status = NULL, answer = NULL WHERE seq = %s", [first["seq"]])
        await conn.execute("UPDATE reports SET in_force_ms = NULL, visibility = NULL WHERE id = %s", [first["id"]])
        return int(cursor.rowcount)

    assert server.in_ledger(forget) == 1
    assert counter.get(f"/v1/reports/{first['id']}").json()["state"] == "recorded"
    again = post(counter, body, "died-1")
    assert again.status_code == 201
    own = {"in_force_at": "", "visibility": {}, "receipt": ""}  # when that was, and what signs it
    assert again.json() | own == first | own
    assert counter.get(f"/v1/reports/{first['id']}").json()["state"] == "in_force"


def test_first_generation_number(counter: httpx.Client, reporter: Key) -> None:
    """Who reports a 15-digit number is told that it was converted; the repeat says the same."""
    number = person(date(1957, 6, 1))
    fifteen = number[:6] + number[8:17]
    body = report_of({"type": "cn.resident-id", "number": fifteen, "valid_from": DAY}, reporter.operator)
    told = [post(counter, body, number[:17]) for _ in range(2)]
    assert [answer.json()["notices"] for answer in told] == [["first_generation_number"]] * 2
    assert told[0].content == told[1].content
    other = report_of({"type": "cn.resident-id", "number": person(), "valid_from": DAY}, reporter.operator)
    assert "notices" not in post(counter, other, number[1:17]).json()
