"""What tests of imports share: a sender of files, and files."""

import http.client
import itertools
import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psycopg

from lostid.commands.seed import people
from lostid.engines.postgres import embedded_dsn
from tests.serving import Server
from tests.waiting import wait_for

HEADER = "type,number,valid_from,reason,case_number"
CSV = "text/csv; charset=utf-8"
OLD, NEW = "2015-03-01", "2019-03-01"


def numbers(count: int, seed: int) -> list[str]:
    """Different ones: `people` repeats itself now and then."""
    return list(dict.fromkeys(itertools.islice(people(seed), count + count // 100)))[:count]


def rows_of(documents: Iterable[str], reason: str = "lost") -> str:
    return "".join(f"cn.resident-id,{number},{OLD},{reason},A-{place}\r\n" for place, number in enumerate(documents))


@dataclass(frozen=True)
class Importer:
    """Somebody with a key."""

    server: Server
    key: str

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        once = {"Idempotency_Key": uuid.uuid4().hex}
        return self.server.ask(method, path, body, Authorization=f"Bearer {self.key}", **once)

    def open(self, **more: Any) -> str:
        status, told = self.ask("POST", "/v1/imports", {"operator": "op-1", "source": "old-register", **more})
        assert (status, told["state"]) == (201, "receiving")
        return str(told["id"])

    def send(self, id_: str, rows: str | bytes, media: str = CSV) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        try:
            headers = {"Authorization": f"Bearer {self.key}", "Content-Type": media}
            content = rows if isinstance(rows, bytes) else rows.encode()
            connection.request("PUT", f"/v1/imports/{id_}/rows", content, headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def break_off(self, id_: str, rows: bytes) -> None:
        """Send these rows of a file that is longer, and go away without a word once some of them are taken."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        connection.putrequest("PUT", f"/v1/imports/{id_}/rows")
        for name, value in {"Authorization": f"Bearer {self.key}", "Content-Type": CSV}.items():
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(2 * len(rows)))
        connection.endheaders(rows)
        wait_for(lambda: self.shown(id_)["counts"]["accepted"] > 0, 60, "staged")
        connection.close()

    def act(self, id_: str, what: str) -> tuple[int, str]:
        """(status, state or code)."""
        status, told = self.ask("POST", f"/v1/imports/{id_}/{what}")
        if "errors" in told:
            return status, told["errors"][0]["code"]
        return status, told.get("state") or told["code"]

    def shown(self, id_: str) -> Any:
        return self.ask("GET", f"/v1/imports/{id_}")[1]

    def wait(self, id_: str, state: str) -> None:
        wait_for(lambda: self.shown(id_)["state"] == state, 60, state)

    def rejections(self, id_: str) -> list[tuple[int, str]]:
        told = self.ask("GET", f"/v1/imports/{id_}/rejections")[1]
        return [(row["line"], row["code"]) for row in told["rejections"]]

    def status(self, number: str, valid_from: str = OLD) -> str:
        """The answer, as soon as there is one: on a busy machine a lease may run out now and then."""
        document = {"type": "cn.resident-id", "number": number, "valid_from": valid_from}
        told: list[str] = []

        def answered() -> bool:
            asked = {"document": document, "operator": "op-1", "purpose": "other"}
            status, body = self.ask("POST", "/v1/checks", asked)
            told.append(str(body["status"]))
            return status != 503

        wait_for(answered, 60, "an answer")
        return told[-1]


def people_at(server: Server, org: str) -> dict[str, Importer]:
    """An importer, and approvers: at the same station, and at another."""
    made = {
        "importer": ("importer", "reporter", "checker", "s-1", "op-1"),
        "colleague": ("approver", "s-1", "op-2"),
        "approver": ("approver", "s-2", "op-3"),
    }
    return {
        name: Importer(server, server.key(*roles, org=org, station=station, operator=operator))
        for name, (*roles, station, operator) in made.items()
    }


def query(server: Server, sql: Any, *params: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(embedded_dsn(server.settings.place)) as conn:
        return conn.execute(sql, params).fetchall()
