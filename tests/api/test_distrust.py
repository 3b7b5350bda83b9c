"""Whether Redis is believed: not before it is known that no alarm about it is open, nor while one is."""

import asyncio
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lostid import app
from lostid.ledger.errors import LedgerDown
from lostid.ledger.sweeps import NOT_YET, Watch
from lostid.registry.client import open_async_client
from tests.api.deciding import BOOT, Host


class Over(Exception):
    """Of a test."""


async def test_new_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its page has come, and what the ledger says of Redis has not."""
    host = Host(tmp_path)
    host.checks.view = None
    redis = open_async_client("redis://127.0.0.1:1")
    parts: Any = SimpleNamespace(
        checks=host.checks,
        settings=SimpleNamespace(run_dir=tmp_path),
        keyring=host.keyring,
        redis=redis,
        keys=host.keys,
    )
    monkeypatch.setattr(app, "boot_id", lambda: BOOT)
    await app._take_care(parts, host._confirm)
    assert host.checks.view is not None
    assert host.checks.lookup.distrusted
    await redis.aclose()


async def test_what_the_ledger_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Believed where no alarm is open, and not where one is; a ledger that is away changes nothing."""
    lookup = SimpleNamespace(distrusted=True)
    seen: list[bool] = []
    said: list[Watch | Exception] = [
        LedgerDown("away"),
        NOT_YET,
        LedgerDown("away"),
        replace(NOT_YET, alarms=1),
        LedgerDown("away"),
        NOT_YET,
        Over(),
    ]

    async def read(_: object) -> Watch:
        watch = said.pop(0)
        if isinstance(watch, Exception):
            raise watch
        return watch

    async def sleep(_: float) -> None:
        seen.append(lookup.distrusted)

    parts: Any = SimpleNamespace(
        checks=SimpleNamespace(view=object(), lookup=lookup), reads_pool=SimpleNamespace(read=read), watch=NOT_YET
    )
    monkeypatch.setattr(asyncio, "sleep", sleep)
    with pytest.raises(Over):
        await app._follow_sweep(parts)
    assert seen == [True, False, False, True, True, False]
