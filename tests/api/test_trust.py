"""Receipts and the log, as a bank and an auditor use them against a real server."""

import base64
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lostid.ledger.statement import AsyncConn
from lostid.log import jws, receipts
from lostid.log.checkpoint import open_checkpoint
from lostid.log.merkle import leaf_hash, verify_inclusion
from lostid.log.note import NoteVerifier
from lostid_client import ReceiptRefused, verify_receipt
from tests.api.schema_check import check_against
from tests.api.serving import Key, Served, person, report_of, resident
from tests.api.trusting import ORIGIN, reported, run_cli, signed_check, until


@pytest.fixture(scope="module")
def jwks(server: Served) -> dict[str, Any]:
    """The published keys; there once the log has begun."""
    with server.client() as client:
        until(lambda: client.get("/.well-known/jwks.json").json()["keys"])
        answer: dict[str, Any] = client.get("/.well-known/jwks.json").json()
    check_against("KeySet", answer)
    return answer


def test_receipt_of_a_check(desk: httpx.Client, jwks: dict[str, Any]) -> None:
    """The receipt says who asked, what, with what answer; salt and card together show which card it was."""
    card = resident(valid_from="2015-03-01")
    answer = signed_check(desk, card)
    check_against("CheckAnswer", answer)
    claims = verify_receipt(answer["receipt"], jwks)
    assert claims["typ"] == "lostid-check+jwt"
    assert claims["jti"] == answer["id"]
    assert (claims["status"], claims["as_of"], claims["seq"]) == ("clear", answer["as_of"], answer["seq"])
    assert (claims["org"], claims["reference"]) == ("hotel", "booking-1")
    salt = bytes.fromhex(answer["receipt_salt"])
    material = (card["type"], card["number"])
    assert claims["document"] == receipts.document_hash(salt, material, "valid_from=2015-03-01")
    assert card["number"] not in base64.urlsafe_b64decode(answer["receipt"].split(".")[1] + "==").decode()


def test_receipt_of_a_batch(desk: httpx.Client, jwks: dict[str, Any]) -> None:
    """One receipt over the Merkle root of all answers, in order."""
    cards = [resident(valid_from="2015-03-01") for _ in range(5)]
    signed_check(desk, cards[0])
    checks = [{"document": card} for card in cards] + [{"document": {"type": "cn.passport", "number": "?"}}]
    body = {"operator": "desk-1", "purpose": "other", "receipt": True, "checks": checks}
    answer = desk.post("/v1/checks/batch", json=body).json()
    check_against("BatchAnswer", answer)
    claims = verify_receipt(answer["receipt"], jwks)
    salt = bytes.fromhex(answer["receipt_salt"])
    items = [
        (receipts.document_hash(salt, (card["type"], card["number"]), "valid_from=2015-03-01"), "clear")
        for card in cards
    ]
    assert claims["document"] == receipts.batch_root([*items, ("", "characters")])
    assert claims["count"] == 6


def test_receipt_of_a_report(desk: httpx.Client, counter: httpx.Client, jwks: dict[str, Any]) -> None:
    """A report's receipt proves when it took effect; a replay carries the same one."""
    signed_check(desk, resident())
    headers = {"Idempotency-Key": person()[:17]}
    body = report_of(resident(valid_from="2015-03-01"), "officer-1")
    answer = counter.post("/v1/reports", json=body, headers=headers).json()
    claims = verify_receipt(answer["receipt"], jwks)
    assert claims["typ"] == "lostid-report+jwt"
    for name in ("id", "seq", "recorded_at", "in_force_at", "covers"):
        assert claims[name] == answer[name]
    assert claims["operator"] == "officer-1"
    assert counter.post("/v1/reports", json=body, headers=headers).json() == answer


def test_inclusion_of_a_report(
    server: Served, desk: httpx.Client, counter: httpx.Client, auditor: Key, jwks: dict[str, Any]
) -> None:
    """A second later the report's entry is provably in the log, under a checkpoint that we signed."""
    headers = {"Idempotency-Key": person()[:17]}
    report = counter.post(
        "/v1/reports", json=report_of(resident(valid_from="2015-03-01"), "officer-1"), headers=headers
    ).json()
    with server.client(auditor) as client:
        path = f"/v1/log/entries/{report['seq']}/proof"
        assert until(lambda: client.get(path).status_code == 200)
        proof = client.get(path).json()
        check_against("InclusionProof", proof)
        verifiers = [NoteVerifier(ORIGIN, public) for public in jws.keys_of(jwks).values()]
        checkpoint = open_checkpoint(proof["checkpoint"], ORIGIN, verifiers)
        leaf = leaf_hash(base64.b64decode(proof["leaf"]))
        hashes = [base64.b64decode(hash_) for hash_ in proof["proof"]]
        verify_inclusion(leaf, proof["leaf_index"], checkpoint.size, hashes, checkpoint.root)
        for nowhere in ("0", "999999999", "x", "-1", "1" * 30):
            assert client.get(f"/v1/log/entries/{nowhere}/proof").status_code == 404
        for nowhere in ("0/999", "7/000", "0/000.p/0", "entries/999", "..", "0/x000/001"):
            assert client.get(f"/v1/log/tile/{nowhere}").status_code == 404


def test_log_verify(server: Served, auditor: Key, jwks: dict[str, Any], tmp_path: Path) -> None:
    """`lostid log verify` finds an honest log good, visit after visit, and a forgotten history bad."""
    state = tmp_path / "seen.json"
    command = ("log", "verify", server.url, "--state", str(state), "--json")
    for _ in range(2):
        code, out = run_cli(*command, LOSTID_KEY=auditor.secret)
        assert (code, json.loads(out)["good"]) == (0, True)
    seen = json.loads(state.read_text())
    state.write_text(json.dumps({**seen, "root": "00" * 32}))
    code, out = run_cli(*command, LOSTID_KEY=auditor.secret)
    assert code == 1
    assert [finding["code"] for finding in json.loads(out)["findings"]] == ["forked"]


def test_receipt_verify_offline(desk: httpx.Client, jwks: dict[str, Any], tmp_path: Path) -> None:
    """`lostid receipt verify` needs the file and the keys; one changed character is refused."""
    answer = signed_check(desk, resident())
    keys, file = tmp_path / "jwks.json", tmp_path / "answer.json"
    keys.write_text(json.dumps(jwks))
    file.write_text(json.dumps(answer))
    code, out = run_cli("receipt", "verify", str(file), "--jwks", str(keys), "--json")
    assert (code, json.loads(out)["jti"]) == (0, answer["id"])
    changed = answer["receipt"][:-2] + ("A" if answer["receipt"][-2] != "A" else "B") + answer["receipt"][-1]
    file.write_text(changed)
    assert run_cli("receipt", "verify", str(file), "--jwks", str(keys))[0] != 0


def _kid(receipt: str) -> str:
    header = receipt.split(".")[0]
    return str(json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"])


async def _add_key(conn: AsyncConn, public: bytes) -> None:
    """What somebody with the database's own password can do."""
    row = (jws.thumbprint(public), public)
    await conn.execute("INSERT INTO signing_keys (kid, public) VALUES (%s, %s)", row)


def test_rotation(server: Served, desk: httpx.Client, counter: httpx.Client, auditor: Key, tmp_path: Path) -> None:
    """A new key signs within seconds in every worker and in the log; what the old one signed verifies as before. A key
    that somebody put into the ledger is not published."""
    pinned, old = tmp_path / "before.json", signed_check(desk, resident())
    report = until(lambda: (made := reported(counter)).get("receipt") and made)
    with server.client() as client:
        before = client.get("/.well-known/jwks.json").json()
        pinned.write_text(json.dumps(before))
        command = ("log", "verify", server.url, "--state", str(tmp_path / "seen.json"))
        assert run_cli(*command, LOSTID_KEY=auditor.secret)[0] == 0

        code, out = run_cli("keys", "rotate-signing", "--json", LOSTID_DATA_DIR=str(server.data_dir))
        assert code == 0
        kid = json.loads(out)["kid"]
        stranger = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
        server.in_ledger(lambda conn: _add_key(conn, stranger))

        def signs(kid: str) -> bool:
            answers = [signed_check(client, resident())["receipt"] for client in clients]
            return all(_kid(answer) == kid for answer in answers)

        with ExitStack() as stack:
            clients = [stack.enter_context(server.client()) for _ in range(8)]  # of both workers
            for one in clients:
                one.headers["Authorization"] = desk.headers["Authorization"]
            until(lambda: signs(kid))
        now = client.get("/.well-known/jwks.json").json()
        check_against("KeySet", now)
    assert [key["kid"] for key in now["keys"]] == [*(key["kid"] for key in before["keys"]), kid]
    assert verify_receipt(old["receipt"], now)["jti"] == old["id"]
    assert verify_receipt(report["receipt"], now)["jti"] == report["id"]
    with pytest.raises(ReceiptRefused):
        verify_receipt(signed_check(desk, resident())["receipt"], before)
    reported(counter)

    def continues() -> bool:
        """Also for somebody who has kept the old key alone, over a checkpoint by the new one."""
        code, out = run_cli(*command, "--jwks", str(pinned), "--json", LOSTID_KEY=auditor.secret)
        assert code == 0, out
        return bool(json.loads(out)["size"] > report["seq"])

    until(continues)
