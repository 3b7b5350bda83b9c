"""What `lostid demo` puts into its registry, and the lines it prints. A child of the supervisor, run once."""

import argparse
import asyncio
import json
import random
import shlex
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import track

from lostid.commands.keys import make, written_secret
from lostid.commands.telling import show_json
from lostid.domain.gb11643 import check_character
from lostid.ledger.apikeys import NewKey
from lostid.ledger.pool import aconnect
from lostid.settings import Settings

AT_ONCE = 8
AREA = "990000"  # no place has it: numbers with it are nobody's
TYPE = "cn.resident-id"
OFFICER = "officer-117"


@dataclass(frozen=True)
class Keys:
    checker: str
    reporter: str
    mirror: str
    mirror_secret: str


def run(settings: Settings, fd: int | None) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--reports", type=int)
    parser.add_argument("--json", action="store_true")
    asked, _ = parser.parse_known_args()
    asyncio.run(_seed(settings, asked.reports, asked.json))
    return 0


async def _seed(settings: Settings, reports: int, as_json: bool) -> None:
    url = f"http://{settings.host}:{settings.port}"
    keys = await _keys(settings)
    numbers = people()
    lost, unknown, next_ = next(numbers), next(numbers), next(numbers)
    today = date.today()  # noqa: DTZ011  a day to print on a card, not a decision
    old, new = today.replace(day=1) - timedelta(days=3000), today.replace(day=1)
    story = [_report(lost, "lost", valid_from=old.isoformat())]
    crowd = [_anybody(numbers, today) for _ in range(reports - len(story))]
    await _send(url, keys.reporter, story + crowd)
    shown = Story(url, keys, reports, lost, unknown, next_, old.isoformat(), new.isoformat())
    if as_json:
        show_json(shown.told())
    else:
        print(shown.lines(), flush=True)


async def _keys(settings: Settings) -> Keys:
    assert settings.database_url is not None  # noqa: S101  the supervisor has resolved it
    async with await aconnect(settings.database_url, name="lostid-demo") as conn:
        _, checker = await make(conn, NewKey("live", "grand-hotel", ("checker",)))
        _, reporter = await make(conn, NewKey("live", "city-police", ("reporter", "checker"), "station-12", OFFICER))
        mirror_id, mirror = await make(conn, NewKey("live", "rail-east", ("mirror",)))
    return Keys(checker, reporter, mirror, written_secret(settings.secrets_path, mirror_id))


def people(seed: int = 1) -> Iterator[str]:
    """Numbers of people who do not exist, the same at every run."""
    chance = random.Random(seed)  # noqa: S311  repeatable, nothing secret
    while True:
        birth = date(1950, 1, 1) + timedelta(days=chance.randrange(20_000))
        first17 = f"{AREA}{birth:%Y%m%d}{chance.randrange(1, 1000):03d}"
        yield first17 + check_character(first17)


def _anybody(numbers: Iterator[str], today: date) -> dict[str, Any]:
    number = next(numbers)
    chance = random.Random(number)  # noqa: S311  repeatable, nothing secret
    reason = chance.choices(("lost", "stolen", "found", "deceased"), (70, 20, 8, 2))[0]
    if reason == "deceased":
        return _report(number, reason, effective_at=today.isoformat())
    return _report(number, reason, valid_from=(today - timedelta(days=chance.randrange(30, 3000))).isoformat())


def _report(number: str, reason: str, effective_at: str | None = None, **instance: str) -> dict[str, Any]:
    body = {
        "document": {"type": TYPE, "number": number, **instance},
        "reason": reason,
        "operator": OFFICER,
        "case_number": "DEMO-1",
    }
    return body if effective_at is None else {**body, "effective_at": effective_at}


async def _send(url: str, key: str, bodies: list[dict[str, Any]]) -> None:
    """All of them, a few at a time, each until it is in force."""
    waiting = iter(track(bodies, "reports", console=Console(stderr=True), transient=True))
    headers = {"Authorization": f"Bearer {key}"}

    async def sender(client: httpx.AsyncClient) -> None:
        for body in waiting:
            again = {"Idempotency-Key": uuid.uuid4().hex}
            response = await client.post("/v1/reports", json=body, headers=again)
            while response.status_code == 503:
                await asyncio.sleep(0.2)
                response = await client.post("/v1/reports", json=body, headers=again)
            response.raise_for_status()

    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30.0) as client, asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(sender(client))


@dataclass(frozen=True)
class Story:
    """A lost card, its replacement, somebody else's card, and one that is about to be lost."""

    url: str
    keys: Keys
    reports: int
    lost: str
    unknown: str
    next: str
    old: str
    new: str

    def told(self) -> dict[str, Any]:
        card = {"type": TYPE, "number": self.lost}
        return {
            "url": self.url,
            "keys": {"checker": self.keys.checker, "reporter": self.keys.reporter, "mirror": self.keys.mirror},
            "mirror_secret": self.keys.mirror_secret,
            "operator": OFFICER,
            "reports": self.reports,
            "reported": {**card, "valid_from": self.old},
            "replacement": {**card, "valid_from": self.new},
            "unknown": {"type": TYPE, "number": self.unknown, "valid_from": self.old},
        }

    def lines(self) -> str:
        return "\n".join(
            (
                "",
                f"{self.reports} reports are in force. Paste these in another terminal:",
                "",
                f"# 1. a card that was reported lost: {self.old} is the first day of validity printed on it",
                self._check(self.lost, self.old),
                "# 2. its replacement, with the same number, is clear",
                self._check(self.lost, self.new),
                "# 3. without that day nobody can tell the two apart",
                self._check(self.lost),
                "# 4. a card that nobody reported, asked about as a hotel's program would",
                self._curl("/v1/checks", self.keys.checker, self._hotel(self.unknown)),
                "# 5. the police report another card ...",
                self._curl(
                    "/v1/reports", self.keys.reporter, _report(self.next, "stolen", valid_from=self.old), "demo-5"
                ),
                "# 6. ... and from that answer on it is refused, in every process",
                self._curl("/v1/checks", self.keys.checker, self._hotel(self.next)),
                "# for the lines of clients/lostid_client/README.md and docs/mirror.md",
                f"export LOSTID_URL={self.url} LOSTID_KEY={self.keys.checker}",
                f"export LOSTID_MIRROR_KEY={self.keys.mirror} LOSTID_MIRROR_SECRET={self.keys.mirror_secret}",
                "",
                "^C ends the demonstration; nothing of it stays.",
            )
        )

    def _hotel(self, number: str) -> dict[str, Any]:
        document = {"type": TYPE, "number": number, "valid_from": self.old}
        return {"document": document, "operator": "desk-3", "purpose": "hotel.check_in"}

    def _check(self, number: str, valid_from: str | None = None) -> str:
        program = "./run" if Path("run").is_file() else "lostid"
        instance = f" --valid-from {valid_from}" if valid_from else ""
        where = f"LOSTID_URL={self.url} LOSTID_KEY={self.keys.checker}"
        return f"printf %s {number} | {where} {program} check {TYPE} -{instance}"

    def _curl(self, path: str, key: str, body: dict[str, Any], idempotency_key: str | None = None) -> str:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        told = " ".join(f"-H {shlex.quote(f'{name}: {value}')}" for name, value in headers.items())
        return f"curl -sS {self.url}{path} {told} -d {shlex.quote(json.dumps(body))}; echo"
