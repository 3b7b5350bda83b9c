"""The application of a worker: the lane for checks before the control plane, and the lifespan that makes its parts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from fastapi import FastAPI

from lostid.api import canary, import_clearing, logs, meters, settling
from lostid.api.checks import Checks
from lostid.api.clock import Clock
from lostid.api.control import control_plane
from lostid.api.edge import Edge
from lostid.api.ids import Ids
from lostid.api.lane import Lane
from lostid.api.parts import Parts
from lostid.api.signing import Signer
from lostid.api.steps import Confirm
from lostid.api.writing import finish_writes
from lostid.domain.canaries import canary_keys, canary_tokens
from lostid.domain.keys import Keyring
from lostid.domain.position import Position
from lostid.domain.record import Record
from lostid.filter.page import Unproven, boot_id
from lostid.filter.view import FilterView
from lostid.guard.auth import KeyCache
from lostid.guard.rates import Rates
from lostid.ledger import apikeys, covers, sweeps, tokens, tree
from lostid.ledger.errors import LedgerError
from lostid.ledger.journal import JournalWriter
from lostid.ledger.pool import LedgerPool, open_pool
from lostid.mirror.shelf import Shelf
from lostid.mirror.tail import Read, Tail
from lostid.registry.client import open_async_client
from lostid.registry.lookup import ExactLookup
from lostid.registry.reader import Reader
from lostid.secrets import SigningFile, load_or_make
from lostid.settings import Settings

CARE_EVERY_S = 0.2
FINISH_S = 2.5


def create_app(settings: Settings, stopping: Callable[[], bool] = lambda: False) -> Lane:
    """The ASGI application of one worker. Nothing is opened before its lifespan begins. `stopping` tells requests that
    wait that the worker is leaving."""
    control = control_plane()
    lane = Lane(Edge(control))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with running(settings, stopping) as parts:
            control.state.parts = parts
            lane.open(parts.checks)
            lane.gate.watch()
            yield
            lane.gate.close()
            await finish_writes(FINISH_S)

    control.router.lifespan_context = lifespan
    return lane


@asynccontextmanager
async def running(settings: Settings, stopping: Callable[[], bool] = lambda: False) -> AsyncIterator[Parts]:
    """Everything a worker needs, opened; the ledger, the registry and the page may all come later."""
    if settings.database_url is None or settings.redis_url is None:
        raise ValueError("a worker is told where the ledger and the registry are")
    secrets = load_or_make(settings.secrets_path, make=False)
    keyring = Keyring(secrets.outer, secrets.pepper, secrets.sealing)
    async with AsyncExitStack() as stack:
        reports_pool = await open_pool(settings.database_url, name="lostid-reports", reads=2, writes=4)
        stack.push_async_callback(reports_pool.close)
        reads_pool = await open_pool(settings.database_url, name="lostid-reads", reads=2, writes=1)
        stack.push_async_callback(reads_pool.close)
        meter = meters.Meters(settings.run_dir)
        journal = await stack.enter_async_context(
            JournalWriter(settings.database_url, keep_days=settings.journal_days, tally=meter.journal_tally)
        )
        client = open_async_client(settings.redis_url)
        stack.push_async_callback(client.aclose)
        keys = KeyCache(
            lambda at: reads_pool.read(apikeys.load_all, at), lambda: _shown(checks), sandbox=settings.sandbox
        )
        clock, made = Clock(settings.zone), Ids()
        confirm = _confirming(reads_pool)
        checks = Checks(keyring, keys, Rates(settings.run_dir), journal, confirm, clock, made, meter)
        checks.signer = Signer(
            SigningFile(settings.secrets_path).seed, settings.log_origin, lambda: reads_pool.read(tree.TIP.arun)
        )
        tail = Tail(keyring, canary_tokens(keyring), _reading_tokens(reads_pool))
        shelf = Shelf(settings.data_dir / "mirrors", keyring.key_id, os.environ | settings.environment())
        stack.push_async_callback(shelf.close)
        parts = Parts(
            settings, keyring, clock, made, meter, keys, checks, journal, reports_pool, reads_pool, client,
            tail, shelf, stopping,
        )  # fmt: skip
        for care in (
            _care(parts, confirm),
            import_clearing.watch(parts),
            _follow_log(checks.signer),
            _follow_sweep(parts),
            settling.settle_forgotten(reports_pool, meter),
            canary.watch(checks, confirm, canary_keys(keyring), meter),
        ):
            stack.push_async_callback(_stop, asyncio.create_task(care))
        stack.push_async_callback(_close_lookup, checks)
        yield parts


def _confirming(pool: LedgerPool) -> Confirm:
    async def confirm(keys: Sequence[bytes], at: Position) -> Mapping[bytes, Record] | None:
        return await pool.read(lambda conn: covers.confirm(conn, keys, at.seq, at.hash))

    return confirm


def _reading_tokens(pool: LedgerPool) -> Read:
    async def read(after: int, upto: int, limit: int) -> Sequence[tokens.SealedEntry]:
        return await pool.read(lambda conn: tokens.after(conn, after, upto, limit))

    return read


async def _care(parts: Parts, confirm: Confirm) -> None:
    """Five times a second, off the hot path: take up the page when it comes or was replaced, and keep the keys new."""
    while True:
        try:
            await _take_care(parts, confirm)
        except (Unproven, LedgerError):
            pass  # not there yet, or away: checks say so themselves
        except Exception as error:  # this must go on
            parts.meters.add(meters.ERROR_TASK)
            logs.unexpected("care", error)
        await asyncio.sleep(CARE_EVERY_S)


async def _follow_log(signer: Signer) -> None:
    """Once a second: the log's last checkpoint, and whether an alarm is open."""
    while True:
        with suppress(LedgerError):
            await signer.refresh()
        await asyncio.sleep(1.0)


async def _follow_sweep(parts: Parts) -> None:
    """Once a second: whether Redis is what the ledger says. While it is not, no answer rests on it."""
    while True:
        with suppress(LedgerError):
            parts.watch = await parts.reads_pool.read(sweeps.WATCH.arun)
            if parts.checks.view is not None:
                parts.checks.lookup.distrusted = parts.watch.alarms > 0
        await asyncio.sleep(1.0)


async def _take_care(parts: Parts, confirm: Confirm) -> None:
    checks = parts.checks
    view = checks.view
    if view is None:
        view = FilterView(parts.settings.run_dir, parts.keyring.key_id, boot_id())
        position, reader = (lambda: view.page.position()), Reader(parts.redis)
        checks.lookup = ExactLookup(reader, confirm, position, parts.keyring.record_tag_key)
        checks.lookup.distrusted = True  # until it is known that no alarm is open
        checks.view = view
    else:
        view.refresh()
    demanded = view.page.gen(), view.page.auth_seq()
    if not parts.keys.current(*demanded):
        await parts.keys.refresh(*demanded)


def _shown(checks: Checks) -> tuple[int, Position] | None:
    if checks.view is None:
        return None
    page = checks.view.page
    gen = page.gen()
    with suppress(Unproven):
        return gen, page.position()
    return None


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _close_lookup(checks: Checks) -> None:
    if checks.view is not None:
        await checks.lookup.close()
