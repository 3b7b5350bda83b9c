"""A real `lostid serve` for the tests of the edge, and everything that it said, kept for those who look for numbers."""

import asyncio
import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import httpx

from lostid.commands.keys import make
from lostid.domain.gb11643 import check_character
from lostid.domain.keys import Keyring
from lostid.engines import postgres
from lostid.ledger.apikeys import NewKey
from lostid.ledger.pool import aconnect
from lostid.ledger.statement import AsyncConn
from lostid.secrets import load_or_make
from lostid.settings import Settings

T = TypeVar("T")
_SERVES = re.compile(r"lostid serves (\S+) ")


@dataclass(frozen=True, slots=True)
class Key:
    id: str
    secret: str
    operator: str


@dataclass
class Served:
    """A server of two workers on its own engines."""

    url: str
    data_dir: Path
    log: Path
    heard: list[str] = field(default_factory=list)
    """Every answer, headers and body."""

    def client(self, key: Key | None = None, **headers: str) -> httpx.Client:
        sent = dict(headers)
        if key is not None:
            sent["Authorization"] = f"Bearer {key.secret}"
        hooks = {"response": [self._hear]}
        # No TLS here, and setting it up costs more than the test.
        return httpx.Client(base_url=self.url, headers=sent, timeout=15, verify=False, event_hooks=hooks)  # noqa: S501

    def _hear(self, response: httpx.Response) -> None:
        response.read()
        if response.request.url.path == "/v1/sandbox/scenarios":  # the numbers there are nobody's
            return
        self.heard.append(f"{response.headers}\n{response.text}")

    def in_ledger(self, work: Callable[[AsyncConn], Awaitable[T]]) -> T:
        async def run() -> T:
            conn = await aconnect(postgres.embedded_dsn(self.settings.place), name="test")
            try:
                return await work(conn)
            finally:
                await conn.close()

        return asyncio.run(run())

    def key(self, org: str, *roles: str, **more: Any) -> Key:
        new = NewKey(env=more.pop("env", "live"), org=org, roles=roles, **more)
        id_, secret = self.in_ledger(lambda conn: make(conn, new))
        return Key(id_, secret, new.operator or "desk-1")

    @property
    def settings(self) -> Settings:
        return Settings(data_dir=self.data_dir)

    @property
    def keyring(self) -> Keyring:
        secrets = load_or_make(self.settings.secrets_path, make=False)
        return Keyring(secrets.outer, secrets.pepper, secrets.sealing)


@contextmanager
def serving(data_dir: Path, **settings: str) -> Iterator[Served]:
    log = data_dir.with_suffix(".log")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOSTID_")}
    environment |= {f"LOSTID_{name.upper()}": value for name, value in settings.items()}
    environment["LOSTID_DATA_DIR"] = str(data_dir)
    argv = [sys.executable, "-m", "lostid", "serve", "--port", "0", "--workers", "2"]
    with log.open("wb") as out:
        server = subprocess.Popen(argv, env=environment, stdout=out, stderr=out, cwd=data_dir.parent)
    try:
        yield Served(_url(server, log), data_dir, log)
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _url(server: "subprocess.Popen[bytes]", log: Path) -> str:
    until = time.monotonic() + 40
    while time.monotonic() < until:
        found = _SERVES.search(log.read_text())
        if found:
            return found[1]
        assert server.poll() is None, log.read_text()
        time.sleep(0.02)
    raise AssertionError(log.read_text())


_people = itertools.count(1)


def person(birth: date = date(1990, 5, 17), area: str = "110105") -> str:
    """The number of somebody who was not in any test before."""
    n = next(_people)
    first17 = f"{int(area) + n // 999}{birth:%Y%m%d}{n % 999:03d}"
    return first17 + check_character(first17)


def resident(**fields: Any) -> dict[str, Any]:
    return {"type": "cn.resident-id", "number": person(), **fields}


def check_of(document: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"document": document, "operator": "desk-1", "purpose": "hotel.check_in", **more}


def report_of(document: dict[str, Any], operator: str, **more: Any) -> dict[str, Any]:
    return {"document": document, "reason": "lost", "operator": operator, "case_number": "A-2026-0031", **more}
