"""People at their keys, and what they try with a report."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from lostid.commands.keys import fenced
from lostid.ledger import apikeys, entries
from lostid.ledger.entries import Entry
from lostid.ledger.statement import AsyncConn
from tests.api.serving import Key, Served, check_of, person, report_of, resident

DAY = "2015-03-01"


@dataclass
class Town:
    """An organisation of its own: an officer who reports and asks, and people who may agree."""

    server: Served
    org: str
    desk: httpx.Client
    people: dict[str, tuple[Key, httpx.Client]] = field(default_factory=dict)
    cards: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By the id of a report on them."""

    def person(self, name: str, *roles: str, operator: str | None = None, **more: Any) -> httpx.Client:
        """Their client; made on first use. Everybody has a station of their own unless one is given."""
        if name not in self.people:
            org = more.pop("org", self.org)
            given = {"station": f"station-of-{name}", "operator": operator or name, **more}
            key = self.server.key(org, *roles, **given)
            self.people[name] = (key, self.server.client(key))
        return self.people[name][1]

    def revoke(self, name: str) -> None:
        """When this returns, no host accepts the key."""

        async def work(conn: AsyncConn) -> None:
            appended = await apikeys.revoke(conn, self.people[name][0].id)
            assert appended is not None
            await fenced(conn, appended)

        self.server.in_ledger(work)

    @property
    def officer(self) -> httpx.Client:
        return self.person("officer", "reporter")

    @property
    def approver(self) -> httpx.Client:
        return self.person("approver", "approver")

    def card(self) -> dict[str, Any]:
        return resident(valid_from=DAY)

    def report(self, card: dict[str, Any], **more: Any) -> str:
        response = self.officer.post("/v1/reports", json=report_of(card, "officer", **more), headers=once())
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    def asked(self, report_id: str, **more: Any) -> str:
        """The id of a withdrawal that the officer asked for."""
        response = ask(self.officer, report_id, operator="officer", **more)
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    def status(self, card: dict[str, Any]) -> str:
        answer = self.desk.post("/v1/checks", json=check_of(card)).json()
        return str(answer.get("status", answer))

    def lines(self, kind: str, after: int = 0) -> list[Entry]:
        """The ledger's entries of a kind that name this organisation's people or reports."""

        async def read(conn: AsyncConn) -> list[Entry]:
            return await entries.READ_AFTER.arun(conn, {"after": after, "limit": 100_000})

        return [entry for entry in self.server.in_ledger(read) if entry.kind == kind]

    @property
    def head(self) -> int:
        async def read(conn: AsyncConn) -> int:
            return (await entries.HEAD.arun(conn)).seq

        return self.server.in_ledger(read)


@contextmanager
def a_town(server: Served, checker: Key, org: str) -> Iterator[Town]:
    with server.client(checker) as desk:
        town = Town(server, org, desk)
        yield town
        for _, client in town.people.values():
            client.close()


def once(key: str | None = None) -> dict[str, str]:
    return {"Idempotency-Key": key or person()[:17]}


def ask(client: httpx.Client, report_id: str, key: str | None = None, **body: Any) -> httpx.Response:
    told = {"grounds": "entry_error", "evidence": "typed the neighbour's number", **body}
    return client.post(f"/v1/reports/{report_id}/withdrawal", json=told, headers=once(key))


def approve(client: httpx.Client, id_: str, key: str | None = None, **body: Any) -> httpx.Response:
    return client.post(f"/v1/withdrawals/{id_}/approve", json=body, headers=once(key))


def refuse(client: httpx.Client, id_: str, **body: Any) -> httpx.Response:
    return client.post(f"/v1/withdrawals/{id_}/refuse", json=body, headers=once())


def imported(client: httpx.Client, operator: str, cards: list[dict[str, Any]], release: bool = True) -> str:
    """An import of these cards, released by whoever sent it."""
    opened = client.post("/v1/imports", json={"operator": operator, "source": "archive"}, headers=once())
    id_ = str(opened.json()["id"])
    lines = ["type,number,valid_from,reason,case_number"]
    lines += [f"{card['type']},{card['number']},{card['valid_from']},lost,A-1" for card in cards]
    sent = {"Content-Type": "text/csv; charset=utf-8"}
    assert client.put(f"/v1/imports/{id_}/rows", content="\n".join(lines), headers=sent).status_code == 202
    if release:
        act(client, id_, "release")
    return id_


def act(client: httpx.Client, id_: str, what: str) -> str:
    answer = client.post(f"/v1/imports/{id_}/{what}", headers=once())
    assert answer.status_code == 202, answer.text
    return str(answer.json()["state"])
