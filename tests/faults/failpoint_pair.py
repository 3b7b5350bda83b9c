"""Two hosts on one ledger and one registry, and a report that is sent to them until it is answered."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from lostid.commands.keys import make
from lostid.ledger.apikeys import NewKey
from lostid.ledger.pool import aconnect
from tests.faults.failpoints import Plans
from tests.serving import Server

ROOT = Path(__file__).resolve().parents[2]
OFFICER = "officer-117"


class Host(Server):
    """One of two on the same ledger and registry. `plans` are for its workers."""

    program = ("-m", "tests.faults.failpoint_host")

    def __init__(self, **settings: str) -> None:
        super().__init__(workers=1, **settings)
        folder = self.directory / "failpoints"
        self.plans = Plans(folder)
        path = os.pathsep.join(filter(None, (str(ROOT), self.environment.get("PYTHONPATH"))))
        self.environment |= {"FAILPOINTS": str(folder), "PYTHONPATH": path}


@dataclass(frozen=True)
class Pair:
    """`fails` is where the report is sent first, `other` where it is sent again."""

    fails: Host
    other: Host
    dsn: str
    reporter: str


class Listens(Protocol):
    """A host, or what stands before it."""

    @property
    def port(self) -> int: ...


@dataclass
class Report:
    """One report, as often as it is sent."""

    number: str
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    case: str = field(default_factory=lambda: f"F-{uuid.uuid4().hex}")

    @property
    def document(self) -> dict[str, str]:
        return {"type": "cn.resident-id", "number": self.number, "valid_from": "2015-03-01"}

    @property
    def body(self) -> dict[str, object]:
        return {"document": self.document, "reason": "lost", "operator": OFFICER, "case_number": self.case}


@dataclass(frozen=True)
class Heard:
    """What a caller got: status 0 where the line broke, with as much of the body as came."""

    status: int
    body: bytes
    replayed: bool = False

    @property
    def told(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.body)
        return answer


async def new_key(dsn: str) -> str:
    async with await aconnect(dsn, name="lostid-test") as conn:
        return (await make(conn, NewKey("live", "police", ("reporter", "checker"), "station-12", OFFICER)))[1]


def send(host: Listens, reporter: str, report: Report) -> Heard:
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=30)
    headers = {"Authorization": f"Bearer {reporter}", "Idempotency-Key": report.key, "Content-Type": "application/json"}
    try:
        connection.request("POST", "/v1/reports", json.dumps(report.body), headers)
        response = connection.getresponse()
        body = response.read()
        return Heard(response.status, body, response.getheader("Idempotent-Replayed") == "true")
    except http.client.IncompleteRead as broken:
        return Heard(0, broken.partial)
    except (OSError, http.client.HTTPException):
        return Heard(0, b"")
    finally:
        connection.close()


def send_until_answered(host: Listens, reporter: str, report: Report) -> Heard:
    """A caller who does not give up: 503 and a broken line mean that it has to ask again, and so does 409 while the
    ledger is still at what a dead worker has sent it."""
    until = time.monotonic() + 60
    while (heard := send(host, reporter, report)).status in (0, 409, 503):
        assert time.monotonic() < until, heard
        time.sleep(0.05)
    return heard


def status_of(host: Host, reporter: str, report: Report) -> str:
    body = {"document": report.document, "operator": OFFICER, "purpose": "police.inquiry"}
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with contextlib.suppress(OSError, http.client.HTTPException):
            status, told = host.ask("POST", "/v1/checks", body, Authorization=f"Bearer {reporter}")
            if status == 200:
                return str(told["status"])
        time.sleep(0.05)
    raise AssertionError("no answer")
