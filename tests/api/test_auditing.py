"""An auditor replays what was signed, and holds the registry's answers against it."""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lostid.commands.replaying import compare
from lostid.engines import valkey
from lostid.ledger.statement import AsyncConn
from lostid.log import jws
from lostid.log.note import NoteVerifier
from lostid.log.verifying import Verified, verify_log
from lostid.registry.client import open_client
from tests.api.schema_check import check_against
from tests.api.serving import Key, Served, check_of, person, report_of, resident
from tests.api.trusting import ORIGIN, open_alarms, run_cli, until
from tests.api.withdrawing import a_town, act, imported


@pytest.fixture(scope="module")
def auditor(server: Served) -> Iterator[httpx.Client]:
    with server.client(server.key("procuratorate", "auditor")) as client:
        yield client


def report(counter: httpx.Client) -> dict[str, Any]:
    body = report_of(resident(valid_from="2015-03-01"), "officer-1")
    answer = counter.post("/v1/reports", json=body, headers={"Idempotency-Key": person()[:17]})
    assert answer.status_code == 201
    return {**answer.json(), "document": body["document"]}


def verified(auditor: httpx.Client) -> Verified:
    keys = jws.keys_of(auditor.get("/.well-known/jwks.json").json())
    verifiers = [NoteVerifier(ORIGIN, public) for public in keys.values()]
    return verify_log(lambda path: auditor.get(f"/v1/log/{path}").content, ORIGIN, verifiers)


def compared(auditor: httpx.Client, post: Any = None, get: Any = None) -> list[tuple[str, str]]:
    """What a whole comparison finds. ``post``, ``get``: what a registry says that does not tell the truth."""

    def asked(path: str, body: dict[str, Any]) -> Any:
        return auditor.post(path, json=body).json()

    def fetched(path: str) -> bytes:
        return auditor.get(path).content

    log = until(lambda: (found := verified(auditor)).good and found)
    found = compare(
        (lambda path: get(fetched(path))) if get else fetched,
        (lambda path, body: post(asked(path, body))) if post else asked,
        lambda: verified(auditor),
        log,
        **({"pause_s": 0.05} if post else {}),  # a lie stays one, however long one waits
    )
    return [(finding.code, finding.where) for finding in found.findings]


def test_answers(server: Served, counter: httpx.Client, auditor: httpx.Client) -> None:
    """Both calls are as described; the records are those that a check is decided on."""
    made = report(counter)
    opened = until(
        lambda: (page := auditor.get(f"/v1/log/openings?after={made['seq'] - 1}").json())["openings"] and page
    )
    check_against("Openings", opened)
    first = opened["openings"][0]
    assert (first["seq"], json.loads(first["body"])["id"]) == (made["seq"], made["id"])
    key = json.loads(first["body"])["effects"][0]["key"]
    told = auditor.post("/v1/log/records", json={"keys": [key, "0" * 32]}).json()
    check_against("Records", told)
    assert [record["key"] for record in told["records"]] == [key, "0" * 32]
    assert told["records"][0]["in_filter"]
    assert [cover["kind"] for cover in told["records"][0]["covers"]] == [2]
    assert told["records"][1]["covers"] == []
    refused: list[dict[str, Any]] = [{"keys": []}, {"keys": ["x"]}, {"keys": [key.upper()]}, {"keys": [key] * 501}]
    for wrong in refused:
        assert auditor.post("/v1/log/records", json=wrong).status_code == 422
    assert auditor.get("/v1/log/openings?after=-1").status_code == 422
    assert auditor.get("/v1/log/openings?after=999999999").json()["openings"] == []


def test_command(server: Served, counter: httpx.Client, auditor: httpx.Client, tmp_path: Path) -> None:
    """`lostid log verify` says how many records it compared; without an auditor's key that it did not."""
    report(counter)
    secret = auditor.headers["Authorization"].removeprefix("Bearer ")
    command = ("log", "verify", server.url, "--state", str(tmp_path / "seen.json"))

    def good() -> Any:
        code, out = run_cli(*command, "--json", LOSTID_KEY=secret)
        return code == 0 and json.loads(out)

    told = until(good)
    assert told["records"]["compared"] > 0
    code, out = run_cli(*command, LOSTID_KEY=secret)
    assert (code, "each is answered as the entries say" in out) == (0, True)


def test_entries_that_are_not_those_signed(counter: httpx.Client, auditor: httpx.Client) -> None:
    """A registry that shows other entries than it signed is found at the first of them."""
    made = report(counter)
    seq = made["seq"]
    until(lambda: auditor.get(f"/v1/log/openings?after={seq - 1}").json()["openings"])

    def changed(**fields: Any) -> Any:
        def page(said: bytes) -> bytes:
            told = json.loads(said)
            if "openings" not in told:
                return said
            told["openings"] = [
                {**one, **{name: value(one) for name, value in fields.items()}} if one["seq"] == seq else one
                for one in told["openings"]
            ]
            return json.dumps(told).encode()

        return page

    def left_out(said: bytes) -> bytes:
        told = json.loads(said)
        if "openings" not in told:
            return said
        told["openings"] = [one for one in told["openings"] if one["seq"] != seq]
        return json.dumps(told).encode()

    where = f"entry {seq}"
    other_body = changed(body=lambda one: one["body"].replace("lost", "seized"))
    assert compared(auditor, get=other_body) == [("opening_mismatch", where)]
    earlier = changed(recorded_ms=lambda one: one["recorded_ms"] - 1)
    assert compared(auditor, get=earlier) == [("opening_mismatch", where)]
    assert compared(auditor, get=changed(salt=lambda _: "00" * 32)) == [("opening_mismatch", where)]
    assert compared(auditor, get=changed(prev=lambda _: "00" * 32))[0] == ("chain_broken", where)
    assert compared(auditor, get=left_out) == [("opening_missing", where)]
    # A deleted salt is no fault by itself; another body under it breaks the chain at the next entry.
    assert compared(auditor, get=changed(salt=lambda _: None)) == []
    report(counter)
    until(lambda: auditor.get(f"/v1/log/openings?after={seq}").json()["openings"])
    hidden = changed(salt=lambda _: None, body=lambda one: one["body"].replace("lost", "seized"))
    assert compared(auditor, get=hidden) == [("chain_broken", f"entry {seq + 1}")]


def test_answers_that_are_not_the_entries(counter: httpx.Client, auditor: httpx.Client) -> None:
    """A record that is answered clear, narrower, wider, or for another key is named by its document key."""
    made = report(counter)
    opened = until(lambda: auditor.get(f"/v1/log/openings?after={made['seq'] - 1}").json()["openings"])
    key = json.loads(opened[0]["body"])["effects"][0]["key"]

    def instead(**fields: Any) -> Any:
        def page(told: Any) -> Any:
            records = [{**one, **fields} if one["key"] == key else one for one in told["records"]]
            return {**told, "records": records}

        return page

    day = auditor.post("/v1/log/records", json={"keys": [key]}).json()["records"][0]["covers"][0]["watermark"]
    cover = {"kind": 2, "final": False, "watermark": day}
    assert compared(auditor, post=instead(covers=[cover])) == []
    for wrong in (
        [],
        [{**cover, "watermark": day - 1}],
        [{**cover, "watermark": day + 1}],
        [{**cover, "final": True}],
        [{"kind": 1, "final": False}],
    ):
        assert compared(auditor, post=instead(covers=wrong)) == [("record_differs", key)]
    assert compared(auditor, post=instead(covers=[], in_filter=False)) == [("filter_lacks", key)]


def test_imports(server: Served, checker: Key, auditor: httpx.Client) -> None:
    """The rows of an import are held against the digest in its entry, and the answers against the rows: what was
    altered, left out, put in another order or added to them, and an answer that says less or more, also once the import
    was taken back."""
    with a_town(server, checker, "archive") as town:
        clerk = town.person("clerk", "importer")
        id_ = imported(clerk, "clerk", [town.card() for _ in range(3)])
        (entry,) = town.lines("import.released", town.head - 1)
        seq, number = entry.seq, entry.facts["number"]
        until(lambda: auditor.get(f"/v1/log/openings?after={seq - 1}").json()["openings"])
        page = auditor.get(f"/v1/log/imports/{number}").json()
        check_against("ImportParts", page)
        rows = b64decode(page["parts"][0]["rows"])
        key = rows[:16].hex()
        assert len(rows) == 3 * 48
        assert auditor.get(f"/v1/log/imports/{number}?after=0").json() == {"parts": []}
        assert auditor.get("/v1/log/imports/999999").json() == {"parts": []}
        assert [auditor.get(f"/v1/log/imports/{path}").status_code for path in ("x", "1?after=x")] == [404, 422]
        assert compared(auditor) == []

        def instead(*parts: bytes) -> Any:
            shown = [{"part": place, "rows": b64encode(part).decode()} for place, part in enumerate(parts)]
            told = json.dumps({"parts": shown}).encode()
            return lambda said: told if json.loads(said) == page else said

        altered = rows[:20] + bytes([rows[20] ^ 1]) + rows[21:]
        for wrong in (
            (altered,),
            (rows[48:],),
            (rows[48:] + rows[:48],),
            (rows + rows[:48],),
            (rows[:48], rows[48:]),
            (),
        ):
            assert compared(auditor, get=instead(*wrong)) == [("rows_differ", f"entry {seq}")]

        def answering(covers: list[dict[str, Any]]) -> Any:
            def told(said: Any) -> Any:
                records = [{**one, "covers": covers} if one["key"] == key else one for one in said["records"]]
                return {**said, "records": records}

            return told

        for covers in ([], [{"kind": 1, "final": False}]):
            assert compared(auditor, post=answering(covers)) == [("record_differs", key)]
        assert act(clerk, id_, "withdrawal") == "withdrawn"
        until(lambda: auditor.get(f"/v1/log/openings?after={seq}").json()["openings"])
        assert compared(auditor) == []
        assert compared(auditor, post=answering([{"kind": 1, "final": False}])) == [("record_differs", key)]


async def _add_cover(conn: AsyncConn, seq: int) -> bytes:
    """A row that takes a report out: what somebody with the database's own password can do."""
    row = await (
        await conn.execute(
            """
            INSERT INTO covers (doc_key, seq, ordinal, action, report_id)
            SELECT doc_key, seq, 99, 3, report_id FROM covers WHERE seq = %s AND ordinal = 0 RETURNING doc_key
            """,
            (seq,),
        )
    ).fetchone()
    assert row is not None
    return bytes(row[0])


async def _take_cover(conn: AsyncConn, seq: int) -> None:
    await conn.execute("ALTER TABLE covers DISABLE TRIGGER append_only")
    await conn.execute("DELETE FROM covers WHERE seq = %s AND ordinal = 99", (seq,))
    await conn.execute("ALTER TABLE covers ENABLE TRIGGER append_only")


def test_undone_in_both(server: Served, counter: httpx.Client, desk: httpx.Client, auditor: httpx.Client) -> None:
    """Somebody with the passwords of PostgreSQL and of Redis makes a card clear: what was signed says what it should
    be, and the auditor names its key."""
    made = report(counter)
    until(lambda: auditor.get(f"/v1/log/openings?after={made['seq'] - 1}").json()["openings"])
    key = server.in_ledger(lambda conn: _add_cover(conn, made["seq"]))
    try:
        with open_client(valkey.embedded_url(server.settings.place)) as redis:
            redis.flushall()
        until(lambda: desk.post("/v1/checks", json=check_of(made["document"])).json().get("status") == "clear")
        assert compared(auditor) == [("record_differs", key.hex())]
    finally:
        server.in_ledger(lambda conn: _take_cover(conn, made["seq"]))
        with open_client(valkey.embedded_url(server.settings.place)) as redis:
            redis.flushall()
    until(lambda: desk.post("/v1/checks", json=check_of(made["document"])).json().get("status") == "reported")
    until(lambda: compared(auditor) == [])
    until(lambda: not server.in_ledger(open_alarms))
