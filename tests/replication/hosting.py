"""A host whose replica is started, stopped and killed, and what can be seen of it: its page, its filter, its row."""

import os
import secrets
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from lostid.domain.covers import Action, Cover, CoverKind, Effect
from lostid.domain.keys import Keyring
from lostid.domain.position import Position
from lostid.filter.page import PageReader, Phase, Unproven, boot_id, boottime_ns
from lostid.filter.view import FilterView
from lostid.ledger import entries
from lostid.ledger.entries import Appended, Draft
from lostid.ledger.statement import Conn
from lostid.settings import Settings
from tests.replication.nursery import Child, Nursery

_COVER = Cover(CoverKind.THROUGH, 12_000, None, final=False, open_ended=False, reason="lost", effective_at_ms=1)


def environment(settings: Settings) -> dict[str, str]:
    """Of a replica; also those find `tests` that it starts."""
    return os.environ | settings.environment() | {"PYTHONPATH": str(Path(__file__).parents[2])}


def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    """A minute is a failure, not a measurement."""
    give_up = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.002)


def report(conn: Conn, *keys: bytes, kind: str = "report") -> Appended:
    """An entry with these document keys (or one of its own), committed."""
    on = keys or (secrets.token_bytes(16),)
    draft = Draft(kind, f"rpt_{on[0].hex()}", {}, [Effect(key, 0, 0, Action.ADD, "rpt_1", _COVER) for key in on])
    return entries.APPEND.run(conn, entries.append_params(draft))


class Host:
    """One host. Leaves nothing behind."""

    def __init__(self, nursery: Nursery, data_dir: Path, secrets_dir: Path, keyring: Keyring, dsn: str) -> None:
        self.settings = Settings(data_dir=data_dir, secrets_dir=secrets_dir, database_url=dsn, capacity=10_000)
        self._nursery = nursery
        self.key_id, self.run_dir = keyring.key_id, self.settings.run_dir
        self.replica: Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()
        shutil.rmtree(self.run_dir, ignore_errors=True)

    def start(self, *argv: str, capacity: int | None = None) -> Child:
        """A replica, by default the real one; any other Python module that runs one."""
        settings = self.settings if capacity is None else self.settings.model_copy(update={"capacity": capacity})
        self.replica = self._nursery.start(argv or ("lostid", "_replica"), environment(settings))
        return self.replica

    def signal(self, number: signal.Signals) -> None:
        assert self.replica is not None
        self.replica.send_signal(number)

    def kill(self) -> None:
        if self.replica is not None:
            self.replica.kill()
            self.replica.wait()

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        assert self.replica is not None
        return self.replica.wait(10)

    # -- what a worker sees --------------------------------------------------------------------------------------------

    def page(self) -> PageReader:
        return PageReader(self.run_dir, self.key_id, boot_id())

    def view(self) -> FilterView:
        return FilterView(self.run_dir, self.key_id, boot_id())

    def leased(self) -> bool:
        try:
            return boottime_ns() < self.page().lease_until()
        except Unproven:
            return False

    def phase(self) -> Phase | None:
        try:
            return self.page().progress().phase
        except Unproven:
            return None

    def at(self) -> Position | None:
        try:
            return self.page().position()
        except Unproven:
            return None

    def has(self, seq: int) -> bool:
        """Whether its page says that this entry is applied."""
        position = self.at()
        return position is not None and position.seq >= seq

    def answers(self, *keys: bytes) -> bool | None:
        """As a worker does: True: each may be reported, False: one is clear, None: nothing is proved."""
        try:
            view = self.view()
            lease_until = view.page.lease_until()
            found = all(map(view.current(), keys))
            view.page.position()
        except Unproven:
            return None
        return found if boottime_ns() < lease_until else None

    def told(self, *keys: bytes) -> bool:
        """The host's answer, as soon as it gives one."""
        answers: list[bool | None] = []

        def answered() -> bool:
            answers.append(self.answers(*keys))
            return answers[-1] is not None

        until(answered)
        return answers[-1] is True

    def ready(self, at_least: int = 0) -> None:
        """Wait until the host answers, and holds this entry."""
        until(lambda: self.leased() and (self.at() or Position(-1, b"")).seq >= at_least)
