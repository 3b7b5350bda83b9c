"""What a worker is made of, as the control plane's handlers get it: made in the lifespan, handed on, never global."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import redis.asyncio
from fastapi import Request

from lostid.api.checks import Checks
from lostid.api.clock import Clock
from lostid.api.ids import Ids
from lostid.api.meters import Meters
from lostid.api.problems import Problem
from lostid.domain.keys import Keyring
from lostid.guard.auth import KeyCache
from lostid.ledger import sweeps
from lostid.ledger.journal import JournalWriter
from lostid.ledger.pool import LedgerPool
from lostid.ledger.sweeps import Watch
from lostid.mirror.shelf import Shelf
from lostid.mirror.tail import Tail
from lostid.settings import Settings


class Room:
    """So many at once; who finds it full is told to come back. Each kind of work has a room of its own, so that no
    kind can starve another: reports keep theirs however many checks wait."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.taken = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        if self.taken >= self.size:
            raise Problem("overloaded")
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


@dataclass(slots=True)
class Parts:
    settings: Settings
    keyring: Keyring
    clock: Clock
    ids: Ids
    meters: Meters
    keys: KeyCache
    checks: Checks
    journal: JournalWriter
    reports_pool: LedgerPool  # writes and their fences, nothing else
    reads_pool: LedgerPool  # exact records, keys, search: what checks and readers wait for
    redis: redis.asyncio.Redis
    tail: Tail
    shelf: Shelf
    stopping: Callable[[], bool]  # the worker is leaving: nobody is to be kept waiting
    registry_seen: bool = False  # the registry has answered this worker at least once
    watch: Watch = sweeps.NOT_YET  # the comparison of Redis with the ledger, as last read
    report_room: Room = field(default_factory=lambda: Room(256))
    import_room: Room = field(default_factory=lambda: Room(2))
    read_room: Room = field(default_factory=lambda: Room(64))
    mirror_room: Room = field(default_factory=lambda: Room(1024))  # they wait, and hold nothing while they do

    def told(self) -> int:
        """Up to which seq this host's replica has told the ledger; 0 where there is no page."""
        return 0 if self.checks.view is None else self.checks.view.page.told()


def parts_of(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts
