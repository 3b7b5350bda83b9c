"""The end of an operator's or a whole station's keys, in the middle of a connection that stays open."""

import itertools
from collections.abc import Iterator

import httpx
import pytest

from lostid.commands.keys import fenced
from lostid.ledger import entries, people
from lostid.ledger.people import Ended
from lostid.ledger.statement import AsyncConn
from tests.api.serving import Key, Served, check_of
from tests.api.withdrawing import Town, a_town, approve

_towns = itertools.count(1)


@pytest.fixture
def town(server: Served, checker: Key) -> Iterator[Town]:
    with a_town(server, checker, f"shire-{next(_towns)}") as made:
        yield made


def end(town: Town, how: str, *names: str) -> list[str]:
    """The ids of the keys that were ended; no host accepts them when this returns."""

    async def work(conn: AsyncConn) -> Ended:
        found = await getattr(people, how)(conn, town.org, *names)
        assert isinstance(found, Ended)
        if found.appended is not None:
            await fenced(conn, found.appended)
            entry = await entries.AT.arun(conn, {"seq": found.appended.seq})
            assert entry is not None
            assert entries.is_auth_event(entry.kind)
            assert entry.facts["keys"] == list(found.keys)
        return found

    return list(town.server.in_ledger(work).keys)


def code(client: httpx.Client) -> str:
    """What the key is told on its open connection."""
    return str(client.get("/v1/withdrawals").json().get("code", "in"))


def test_station(town: Town) -> None:
    """All keys of the station, of whomever, and no other key; the same name in another organisation stays."""
    here = [town.person(name, "approver", station="east") for name in ("a", "b")]
    there = [town.person("c", "approver", station="west"), town.person("d", "approver", station="east", org="z")]
    assert [code(client) for client in (*here, *there)] == ["in"] * 4
    assert sorted(end(town, "revoke_station", "east")) == sorted(town.people[name][0].id for name in ("a", "b"))
    for _ in range(4):  # both workers
        assert [code(client) for client in (*here, *there)] == ["key_revoked"] * 2 + ["in"] * 2
    assert end(town, "revoke_station", "east") == []


def test_gate(town: Town) -> None:
    """Checks are refused as well, on the connection that asked before, by whichever worker holds it."""
    gates = [town.person(f"gate-{n}", "checker", operator="desk-1", station="north") for n in range(4)]
    body = check_of(town.card())

    def codes() -> list[str]:
        return [str(gate.post("/v1/checks", json=body).json().get("code", "in")) for gate in gates]

    assert codes() == ["in"] * 4
    assert len(end(town, "revoke_station", "north")) == 4
    assert codes() == ["key_revoked"] * 4


def test_operator(town: Town) -> None:
    """All keys of the operator, at whatever station and in both environments."""
    keys = [
        town.person("one", "approver", operator="x"),
        town.person("two", "reporter", operator="x", station="west"),
        town.person("three", "reporter", operator="x", env="test"),
    ]
    other = town.person("four", "approver")
    assert [code(client) for client in (*keys, other)] == ["in"] * 4
    assert len(end(town, "revoke_operator", "x")) == 3
    assert [code(client) for client in (*keys, other)] == ["key_revoked"] * 3 + ["in"]


def test_move(town: Town) -> None:
    """Who moves loses the old station's rights at once, and what was asked for there falls with them."""
    card = town.card()
    pending = town.asked(town.report(card))
    new = town.person("officer-anew", "reporter", operator="officer", station="hill")
    assert code(town.officer) == "in"
    assert end(town, "move_operator", "officer", "hill") == [town.people["officer"][0].id]
    assert (code(town.officer), code(new)) == ("key_revoked", "in")
    assert approve(town.approver, pending).json()["code"] == "withdrawal_not_pending"
    assert town.status(card) == "reported"
