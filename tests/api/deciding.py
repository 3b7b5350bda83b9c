"""One worker's decision on a check with what it reads, without a server: a page, a filter, an exact record, keys."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from lostid.api.checks import Checks
from lostid.api.clock import Clock
from lostid.api.ids import Ids
from lostid.api.meters import Meters
from lostid.api.problems import Answer
from lostid.domain.canonical import Canonical
from lostid.domain.covers import Cover, CoverKind
from lostid.domain.keys import Keyring
from lostid.domain.position import Position
from lostid.domain.record import Record
from lostid.filter.bloom import Sizing
from lostid.filter.generation import Generation
from lostid.filter.header import Identity
from lostid.filter.page import PageWriter, boottime_ns
from lostid.filter.view import FilterView
from lostid.guard.auth import KeyCache
from lostid.guard.rates import Rates
from lostid.ledger.apikeys import ApiKey, KeyTable
from lostid.ledger.journal import JournalWriter
from lostid.ledger.lines import Line, Lines
from lostid.registry.lookup import Found, Source
from tests.api.serving import check_of, person

BOOT = b"boot id of tests"
SECRET = "lid_live_" + "s" * 43
LEASE_NS = 10**12
HEADERS = {b"authorization": b"Bearer " + SECRET.encode(), b"content-type": b"application/json"}
NUMBER = person()
BODY = msgspec.json.encode(check_of({"type": "cn.resident-id", "number": NUMBER}))
ALL = Record((("rpt_1", Cover(CoverKind.ALL, None, None, False, False, "lost", 0)),))


def key_of(*roles: str, **more: Any) -> ApiKey:
    told: dict[str, Any] = dict.fromkeys(("station", "operator", "rate", "revoked_seq"))
    told |= {"purposes": frozenset(), "reasons": frozenset(), "slot": 1, "created_seq": 2, **more}
    secret = sha256(SECRET.encode()).digest()
    return ApiKey(id="key_1", secret_sha256=secret, env="live", org="o", roles=frozenset(roles), **told)


@dataclass
class Exact:
    """What the exact look-up would find, and what happens meanwhile."""

    record: Record | Exception = ALL
    meanwhile: Any = None
    asked: list[bytes] = field(default_factory=list)

    def of(self, keys: Sequence[bytes]) -> asyncio.Future[list[Found]]:
        return asyncio.ensure_future(self._of(keys))

    async def _of(self, keys: Sequence[bytes]) -> list[Found]:
        self.asked += keys
        await asyncio.sleep(0)
        if self.meanwhile is not None:
            self.meanwhile()
        if isinstance(self.record, Exception):
            raise self.record
        return [Found(self.record, Source.REGISTRY) for _ in keys]


class Journal(JournalWriter):
    """The worker's own, which remembers what it was given."""

    def __init__(self) -> None:
        super().__init__("")
        self.lines: list[Line] = []
        self.batches: list[Lines] = []

    def put(self, line: Line) -> bool:
        self.lines.append(line)
        return super().put(line)

    def put_all(self, lines: Lines) -> bool:
        self.batches.append(lines)
        return super().put_all(lines)


class Host:
    """One worker's decision and what it reads."""

    def __init__(self, run_dir: Path) -> None:
        self.keyring = Keyring(b"o" * 32, b"p" * 32, b"s" * 32)
        key_id = self.keyring.key_id
        self.writer = PageWriter(run_dir, key_id, BOOT)
        self.generation = Generation.create(run_dir, Identity(1, key_id, BOOT), Sizing.of(1000))
        self.generation.complete(Position(5, b"h" * 32))
        self.writer.publish(Position(5, b"h" * 32))
        self.writer.flip(1)
        self.writer.grant(boottime_ns() + LEASE_NS)
        self.table = KeyTable(True, {sha256(SECRET.encode()).digest(): key_of("checker")})
        self.loads = 0
        self.keys = KeyCache(self._load, self._shown, sandbox=True)
        self.journal = Journal()
        self.meters = Meters(run_dir)
        clock = Clock(ZoneInfo("Asia/Shanghai"))
        self.records: Mapping[bytes, Record] | Exception | None = None
        self.checks = Checks(
            self.keyring, self.keys, Rates(run_dir), self.journal, self._confirm, clock, Ids(), self.meters
        )
        self.checks.view = FilterView(run_dir, key_id, BOOT)
        self.exact = Exact()
        self.checks.lookup = self.exact  # type: ignore[assignment]

    async def _load(self, at: Position | None) -> KeyTable:
        self.loads += 1
        return self.table

    def _shown(self) -> tuple[int, Position] | None:
        position = self.writer.position()
        return None if position is None else (1, position)

    async def _confirm(self, keys: Sequence[bytes], at: Position) -> Mapping[bytes, Record] | None:
        if isinstance(self.records, Exception):
            raise self.records
        return self.records

    def report(self, number: str = NUMBER) -> bytes:
        key = self.keyring.key("live", Canonical("cn.resident-id", number))
        self.generation.add_all([key])
        return key

    async def check(
        self, body: bytes = BODY, headers: Any = HEADERS, batch: bool = False
    ) -> tuple[int, dict[str, Any]]:
        outcome = (self.checks.batch if batch else self.checks.check)(headers, body)
        answer = outcome if isinstance(outcome, Answer) else await outcome
        told: dict[str, Any] = msgspec.json.decode(answer.body)
        return answer.status, told
