"""What customers have: a registry's address, keys, and cards of people who do not exist."""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar

from lostid.domain.gb11643 import check_character
from lostid_client import Client, Document
from lostid_client.calls import OnUnavailable
from tests.serving import Server

T = TypeVar("T")
OLD, NEW = "2015-03-01", "2026-11-01"
TODAY = date(2026, 11, 22)
_people = itertools.count(1)


def number() -> str:
    """The number of somebody who was in no test before; these tests have births of 1971 to themselves."""
    n = next(_people)
    first17 = f"990000{date(1971, 1, 1 + n % 28):%Y%m%d}{n % 1000:03d}"
    return first17 + check_character(first17)


def card(valid_from: str | None = OLD) -> Document:
    return Document("cn.resident-id", number(), valid_from=valid_from)


def soon(ask: Callable[[], T], good: Callable[[T], object], seconds: float = 15.0) -> T:
    """Ask until it is good: a new ledger has its first checkpoint, and so signs receipts, after a moment."""
    end = time.monotonic() + seconds
    while not good(found := ask()):
        assert time.monotonic() < end, found
        time.sleep(0.1)
    return found


@dataclass(frozen=True)
class Town:
    """A registry in use, with a key for everybody."""

    server: Server
    checker: str
    reporter: str
    approver: str

    @property
    def url(self) -> str:
        return self.server.url

    def client(self, key: str, on_unavailable: OnUnavailable = "refuse") -> Client:
        return Client(self.url, key, on_unavailable=on_unavailable)

    def report(self, document: Document, **more: Any) -> str:
        """Reported as lost; the report's id."""
        with self.client(self.reporter) as client:
            return client.report(document, operator="officer-117", case_number="A-1", reason="lost", **more).id


def town(server: Server) -> Town:
    people = {
        "checker": server.key("checker", org="desks"),
        "reporter": server.key("reporter", "checker", org="police", station="st-1", operator="officer-117"),
        "approver": server.key("approver", org="police", station="st-2", operator="officer-204"),
    }
    made = Town(server, **people)
    with made.client(made.checker) as client:
        soon(
            lambda: client.check(card(), operator="desk-1", purpose="other", receipt=True),
            lambda answer: answer.receipt,
        )
    return made
