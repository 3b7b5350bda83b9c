"""Mirrors of a real registry: what they are sent, and that it is what the registry knows."""

import asyncio
import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lostid.commands.keys import MIRROR_PREFIX
from lostid.domain.canaries import canary_keys
from lostid.domain.keys import Keyring
from lostid.engines.postgres import embedded_dsn
from lostid.ledger import entries
from lostid.ledger.apikeys import NewKey
from lostid.ledger.errors import LedgerFault
from lostid.ledger.migrate import prepare
from lostid.ledger.pool import connect
from lostid.mirror import builder, shelf
from lostid.secrets import load_or_make
from lostid_client import AsyncMirror, Document, Mirror
from lostid_client.mirror_filter import Positions, Sizing, contains_in
from lostid_client.receipts import verified
from tests.api.schema_check import check_against
from tests.clients.desks import NEW, Town, card, soon
from tests.conftest import NewDatabase
from tests.ledger.making import report
from tests.mirror.making import KEYRING
from tests.serving import Server
from tests.waiting import wait_for


def keyring_of(server: Server) -> Keyring:
    secrets = load_or_make(server.settings.secrets_path, make=False)
    return Keyring(secrets.outer, secrets.pepper, secrets.sealing)


class Gate:
    """A mirror key with its secret."""

    def __init__(self, server: Server, **more: Any) -> None:
        self.id, self.key = server.new_key(NewKey("live", "rail", ("mirror",), **more))
        raw = keyring_of(server).mirror_secret(self.id)
        self.url, self.secret = server.url, MIRROR_PREFIX + base64.urlsafe_b64encode(raw).decode().rstrip("=")

    def mirror(self, max_age_s: float = 60.0) -> Mirror:
        return Mirror(self.url, self.key, self.secret, max_age_s=max_age_s)

    def ask(self, path: str, **params: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.get(f"{self.url}{path}", params=params, headers=headers, timeout=40)

    def changes(self, **params: str) -> httpx.Response:
        return soon(
            lambda: self.ask("/v1/mirror/changes", **{"nonce": "n" * 16, **params}),
            lambda reply: reply.status_code != 503,
        )


@pytest.fixture(scope="module")
def gate(town: Town) -> Gate:
    return Gate(town.server)


@pytest.fixture(scope="module")
def mirror(gate: Gate) -> Iterator[Mirror]:
    with gate.mirror() as mirror:
        assert mirror.wait(30), mirror.state.problem
        yield mirror


def test_follows(town: Town, mirror: Mirror) -> None:
    """A card is clear, then reported, then a matter to ask about; its replacement too, for the number is the same."""
    lost = card()
    before = soon(lambda: mirror.check(lost), lambda answer: answer.clear)
    assert before.age_s < 60
    town.report(lost)
    soon(lambda: mirror.check(lost), lambda answer: answer.why == "record")
    assert not mirror.check(Document(lost.type, lost.number, valid_from=NEW)).clear
    after = soon(lambda: mirror.check(card()), lambda answer: answer.clear)
    assert str(after.as_of) > str(before.as_of)


def test_snapshot_holds_what_is_in_force(town: Town, tmp_path: Path) -> None:
    """Built here as the server builds it: what is reported is in it, what was taken back is not."""
    lost, back = card(), card()
    town.report(lost)
    taken_back = town.report(back)
    with town.client(town.reporter) as client, town.client(town.approver) as other:
        asked = client.withdraw(taken_back, operator="officer-117", grounds="entry_error", evidence="typed wrong")
        other.approve(asked.id, operator="officer-204")
    keyring = keyring_of(town.server)
    with connect(embedded_dsn(town.server.settings.place), name="test-mirror") as conn:
        facts = builder.build(conn, keyring, "key_x", tmp_path)
    path = shelf.path_of(tmp_path, "key_x")
    assert shelf.read_facts(path) == facts
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.stat().st_mode & 0o777 == 0o600
    bits = bytearray(path.read_bytes()[shelf.HEADER_BYTES :])
    secret = keyring.mirror_secret("key_x")
    positions = Positions(secret[:32], secret[32:])
    contains = contains_in(bits, Sizing(facts.slices, facts.bits_per_slice))
    assert contains(positions.of("live", lost.type, lost.number))
    assert not contains(positions.of("live", back.type, back.number))


def test_a_withdrawn_report_asks_until_the_next_snapshot(town: Town, mirror: Mirror) -> None:
    """Bits are never cleared: a mirror that knew of the report goes on asking, and nobody is wronged by that."""
    lost = card()
    taken_back = town.report(lost)
    soon(lambda: mirror.check(lost), lambda answer: answer.why == "record")
    with town.client(town.reporter) as client, town.client(town.approver) as other:
        asked = client.withdraw(taken_back, operator="officer-117", grounds="entry_error", evidence="typed wrong")
        other.approve(asked.id, operator="officer-204")
        assert client.check(lost, operator="officer-117", purpose="other").clear
    assert mirror.check(lost).why == "record"


def test_statement(gate: Gate) -> None:
    """As described; a question that has nothing to wait for is answered at once, one ahead of the registry with no
    origin, after a lease's time."""
    reply = gate.changes(since="1")
    assert reply.status_code == 200
    assert reply.headers["cache-control"] == "no-store"
    check_against("MirrorChanges", reply.json())
    jwks = httpx.get(f"{gate.url}/.well-known/jwks.json").json()
    claims = verified(reply.json()["statement"], jwks, ("lostid-mirror-changes+jwt",))
    assert claims["mirror"] == gate.id
    assert (claims["nonce"], claims["since"], claims["more"]) == ("n" * 16, 1, False)
    ahead = verified(gate.changes(since="99999999").json()["statement"], jwks, ("lostid-mirror-changes+jwt",))
    assert ahead["origin"] is None
    assert ahead["waited_ms"] >= 1_900


def test_a_snapshot_is_gone_on_with(gate: Gate, mirror: Mirror) -> None:
    """The bits after those that the caller has, under a line signed now; all of them where it has others; and both are
    counted as they were sent."""
    assert mirror.check(card()).clear  # so there is a snapshot
    before = sent_bytes(gate)
    line, _, bits = gate.ask("/v1/mirror/snapshot").content.partition(b"\n")
    sha256 = hashlib.sha256(bits).hexdigest()
    reply = gate.ask("/v1/mirror/snapshot", **{"from": "1000", "sha256": sha256})
    again, _, missing = reply.content.partition(b"\n")
    assert missing == bits[1000:]
    assert int(reply.headers["content-length"]) == len(reply.content)
    jwks = httpx.get(f"{gate.url}/.well-known/jwks.json").json()
    first, second = (verified(token.decode(), jwks, ("lostid-mirror-snapshot+jwt",)) for token in (line, again))
    assert (first["sha256"], second["sha256"]) == (sha256, sha256)
    assert gate.ask("/v1/mirror/snapshot", **{"from": "999999999", "sha256": sha256}).content.partition(b"\n")[2] == b""
    other = gate.ask("/v1/mirror/snapshot", **{"from": "1000", "sha256": "0" * 64})
    assert other.content.partition(b"\n")[2] == bits
    assert gate.ask("/v1/mirror/snapshot", **{"from": "-1"}).status_code == 422
    assert gate.ask("/v1/mirror/snapshot", sha256="x").status_code == 422
    least = 3 * len(bits) - 1000
    assert least < sent_bytes(gate) - before < least + 5 * len(line)


def sent_bytes(gate: Gate) -> float:
    return metric(gate, 'lostid_mirror_sent_bytes_total{kind="snapshot"}')


def metric(gate: Gate, name: str) -> float:
    lines = httpx.get(f"{gate.url}/metrics").text.splitlines()
    return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def test_how_mirrors_keep_up(gate: Gate) -> None:
    """Each question counts, by how far behind it was."""
    before = [metric(gate, f'lostid_mirror_questions_total{{behind="{behind}"}}') for behind in ("0", "99")]
    at = verified(
        gate.changes(since="1").json()["statement"],
        httpx.get(f"{gate.url}/.well-known/jwks.json").json(),
        ("lostid-mirror-changes+jwt",),
    )["seq"]
    gate.changes(since=str(at - 1))
    gate.changes(since=str(at))
    after = [metric(gate, f'lostid_mirror_questions_total{{behind="{behind}"}}') for behind in ("0", "99")]
    assert all(now > then for then, now in zip(before, after, strict=True))


@pytest.mark.parametrize(
    "asked",
    [
        {"since": "-1"},
        {"since": "1" * 19},
        {"since": "1", "nonce": "short"},
        {"since": "1", "wait": "26"},
        {"since": "1", "nonce": "990000198506120022é"},
        {},
    ],
    ids=str,
)
def test_refused(gate: Gate, asked: dict[str, str]) -> None:
    reply = gate.changes(**asked)
    assert reply.status_code == 422
    assert reply.json()["errors"][0]["pointer"].startswith("/query/")


def test_the_sandbox_has_no_mirrors(town: Town) -> None:
    """Its keys are given away freely; whoever holds a mirror's secret holds the outer key of the live registry."""
    made = town.server.cli("keys", "create", "--org", "rail", "--role", "mirror", "--test")
    assert made.returncode == 2
    id_, key = town.server.new_key(NewKey("test", "rail", ("mirror",)))
    for path in ("/v1/mirror/snapshot", "/v1/mirror/changes"):
        assert town.server.ask("GET", path, Authorization=f"Bearer {key}")[0] == 403
    assert town.server.cli("keys", "mirror-secret", id_).returncode == 1
    checker, _ = town.server.new_key(NewKey("live", "rail", ("checker",)))
    assert town.server.cli("keys", "mirror-secret", checker).returncode == 1


def test_a_revoked_mirror_ends(town: Town) -> None:
    """A question that waits ends with the revocation, not with its patience, and takes nothing along."""
    gate = Gate(town.server)
    assert town.server.cli("keys", "mirror-secret", gate.id).stdout == gate.secret + "\n"
    with gate.mirror() as mirror:
        assert mirror.wait(30), mirror.state.problem
        assert town.server.cli("keys", "revoke", gate.id).returncode == 0
        soon(lambda: mirror.check(card()), lambda answer: answer.why == "not_authorised")
    assert gate.ask("/v1/mirror/snapshot").status_code == 401
    assert town.server.cli("keys", "mirror-secret", gate.id).returncode == 1


def test_another_key_s_secret_clears_nobody(town: Town, gate: Gate) -> None:
    """Two mirrors share nothing: the canaries are not found, and the mirror stays unready."""
    with Mirror(gate.url, gate.key, Gate(town.server).secret, max_age_s=60) as wrong:
        wait_for(lambda: wrong.state.problem is not None and "secret" in wrong.state.problem, 30, "a refusal")
        assert wrong.check(card()).why == "not_loaded"


async def test_async(gate: Gate) -> None:
    """The same in a loop; leaving ends it."""
    async with AsyncMirror(gate.url, gate.key, gate.secret, max_age_s=60) as mirror:
        assert await mirror.wait(30), mirror.state.problem
        assert mirror.check(card()).clear
    assert len(asyncio.all_tasks()) == 1


def test_a_missing_token_makes_no_snapshot(new_database: NewDatabase, tmp_path: Path) -> None:
    """A document without its token, or with another's, would be clear in every mirror: there is no snapshot then."""
    with connect(new_database(), name="test-mirror") as conn:
        prepare(conn, KEYRING.check_values(), canary_keys(KEYRING))
        assert builder.build(conn, KEYRING, "key_x", tmp_path).documents == 2
        entries.APPEND.run(conn, entries.append_params(report("altered")))
        with pytest.raises(LedgerFault, match="missing or altered"):
            builder.build(conn, KEYRING, "key_y", tmp_path)
        conn.execute("DELETE FROM sealed_tokens")
        with pytest.raises(LedgerFault, match="no sealed token"):
            builder.build(conn, KEYRING, "key_y", tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["key_x.mirror"]
