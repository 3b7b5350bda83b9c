"""What somebody changes by hand, in PostgreSQL or in Redis, is found within seconds, and shown until it is right."""

from typing import Any, LiteralString

import httpx

from lostid.engines import valkey
from lostid.ledger import apikeys
from lostid.ledger.statement import AsyncConn
from lostid.registry.buckets import Layout
from lostid.registry.client import open_client
from lostid.registry.writer import Writer
from tests.api.schema_check import check_against
from tests.api.serving import Key, Served, check_of, person, report_of, resident
from tests.api.trusting import open_alarms, signed_check, until


async def _set_body(conn: AsyncConn, seq: int, body: bytes) -> None:
    """What somebody with the database's own password can do."""
    await conn.execute("ALTER TABLE entries DISABLE TRIGGER append_only")
    await conn.execute("UPDATE entries SET body = %s WHERE seq = %s", (body, seq))
    await conn.execute("ALTER TABLE entries ENABLE TRIGGER append_only")


async def _body(conn: AsyncConn, seq: int) -> bytes:
    row = await (await conn.execute("SELECT body FROM entries WHERE seq = %s", (seq,))).fetchone()
    assert row is not None
    return bytes(row[0])


def test_altered_row(server: Served, desk: httpx.Client, counter: httpx.Client, auditor: Key) -> None:
    """A row changed by hand is found within seconds: an alarm, and no receipt until it is put right."""
    headers = {"Idempotency-Key": person()[:17]}
    report = counter.post(
        "/v1/reports", json=report_of(resident(valid_from="2015-03-01"), "officer-1"), headers=headers
    ).json()
    seq = report["seq"]
    with server.client(auditor) as client:
        until(lambda: client.get(f"/v1/log/entries/{seq}/proof").status_code == 200)
    body = server.in_ledger(lambda conn: _body(conn, seq))
    try:
        server.in_ledger(lambda conn: _set_body(conn, seq, body.replace(b"officer-1", b"officer-2")))
        until(lambda: (seq, "entry_altered") in server.in_ledger(open_alarms))
        refused = {**check_of(resident()), "receipt": True}
        until(lambda: desk.post("/v1/checks", json=refused).status_code == 503)
        assert desk.post("/v1/checks", json=check_of(resident())).status_code == 200
    finally:
        server.in_ledger(lambda conn: _set_body(conn, seq, body))
    until(lambda: not server.in_ledger(open_alarms))
    signed_check(desk, resident())


async def _document_key(conn: AsyncConn, id_: str) -> bytes:
    """The document key of a report."""
    row = await (await conn.execute("SELECT doc_key FROM covers WHERE report_id = %s", (id_,))).fetchone()
    assert row is not None
    return bytes(row[0])


def test_older_record_put_back(server: Served, desk: httpx.Client, counter: httpx.Client) -> None:
    """Somebody with access to Redis puts a card's first record over its second: found, put right, shown, and over."""
    number = resident()["number"]

    def report(valid_from: str) -> str:
        body = report_of({"type": "cn.resident-id", "number": number, "valid_from": valid_from}, "officer-1")
        return str(counter.post("/v1/reports", json=body, headers={"Idempotency-Key": person()[:17]}).json()["id"])

    def registry(client: httpx.Client) -> Any:
        return client.get("/v1/status").json()["registry"]

    first = report("2010-03-01")
    key = server.in_ledger(lambda conn: _document_key(conn, first))
    with open_client(valkey.embedded_url(server.settings.place)) as redis, server.client() as client:
        layout = Layout(Writer(redis).head().bits)
        place: Any = layout.bucket(key), layout.field(key)
        older: Any = until(lambda: redis.hget(*place))
        report("2020-03-01")
        newer = until(lambda: (now := redis.hget(*place)) != older and now)
        until(lambda: "age_s" in registry(client))
        before = registry(client)["alarms_ever"]
        redis.hset(*place, older)
        until(lambda: registry(client)["alarms_ever"] == before + 1)
        until(lambda: redis.hget(*place) == newer)
        card = {"type": "cn.resident-id", "number": number, "valid_from": "2015-03-01"}
        assert desk.post("/v1/checks", json=check_of(card)).json()["status"] == "reported"
        until(lambda: registry(client)["alarms"] == 0)
        check_against("Status", client.get("/v1/status").json())
        told = client.get("/readyz").json()["registry"]
        assert (told["ok"], told["alarms"]) == (True, 0)


async def _forge_key(conn: AsyncConn, secret: str) -> int:
    """An approver's key that nobody made."""
    row = await (
        await conn.execute(
            """
            INSERT INTO api_keys (id, secret_sha256, env, org, station, operator, roles, purposes, reasons, created_seq)
            SELECT 'key_forged', %s, env, org, 'st-x', 'nobody', '{approver}', purposes, reasons, created_seq
              FROM api_keys ORDER BY slot LIMIT 1 RETURNING created_seq
            """,
            (apikeys.secret_hash(secret),),
        )
    ).fetchone()
    assert row is not None
    return int(row[0])


_ROLES = "UPDATE api_keys SET roles = %s WHERE id = %s"
_REVOKED = "UPDATE api_keys SET revoked_seq = %s WHERE id = %s"


async def _change_key(conn: AsyncConn, statement: LiteralString, *values: Any) -> None:
    await conn.execute(statement, values)


def test_keys_by_hand(server: Served) -> None:
    """A key put into the ledger by hand, one with other roles, a revoked one brought back: alarms until it is right."""

    def change(statement: LiteralString, *values: Any) -> None:
        server.in_ledger(lambda conn: _change_key(conn, statement, *values))

    def alarms() -> list[str]:
        return [what for _, what in server.in_ledger(open_alarms)]

    key = server.key("hotel", "checker")
    created = server.in_ledger(lambda conn: _forge_key(conn, "lid_live_forged"))
    # Making another has every worker load its keys anew. No answer, before the alarm or after it, is to the forged one.
    server.key("hotel", "checker")
    with server.client(Key("key_forged", "lid_live_forged", "nobody")) as forger, server.client(key) as known:
        while (created, "key_altered") not in server.in_ledger(open_alarms):
            assert forger.get("/v1/withdrawals").status_code in (401, 503)
        until(lambda: known.get("/v1/withdrawals").json()["code"] == "role_missing")
        until(lambda: forger.get("/v1/withdrawals").json()["code"] == "key_unknown")
    change("DELETE FROM api_keys WHERE id = %s", "key_forged")
    until(lambda: not alarms())

    change(_ROLES, ["admin"], key.id)
    until(lambda: alarms() == ["key_altered"])
    change(_ROLES, ["checker"], key.id)
    until(lambda: not alarms())

    appended = server.in_ledger(lambda conn: apikeys.revoke(conn, key.id))
    assert appended is not None
    change(_REVOKED, None, key.id)
    until(lambda: alarms() == ["key_brought_back"])
    change(_REVOKED, appended.seq, key.id)
    until(lambda: not alarms())
