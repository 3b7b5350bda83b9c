"""The workers' part in imports that are being released or withdrawn: whoever is free takes one up, and goes on where
the last stopped. A worker that is killed in the middle leaves nothing half done but the rest."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import redis

from lostid.api import logs, meters
from lostid.api.parts import Parts
from lostid.ledger import import_jobs, imports
from lostid.ledger.errors import LedgerError
from lostid.ledger.imports import Import
from lostid.ledger.pool import aconnect
from lostid.ledger.statement import AsyncConn
from lostid.registry.keys import HEAD
from lostid.replication.fence_wait import FenceUnproven, wait

LOOK_EVERY_S = 0.5
PATIENCE_S = 0.25


async def watch(parts: Parts) -> None:
    """For as long as the worker lives."""
    while True:
        try:
            if not await work_once(parts):
                await asyncio.sleep(LOOK_EVERY_S)
        except (LedgerError, FenceUnproven):
            await asyncio.sleep(LOOK_EVERY_S)
        except Exception as error:  # this must go on
            parts.meters.add(meters.ERROR_TASK)
            logs.unexpected("imports", error)
            await asyncio.sleep(LOOK_EVERY_S)


async def work_once(parts: Parts) -> bool:
    """Whether anything was done."""
    running = await parts.reads_pool.read(imports.RUNNING.arun)
    if not running:
        return False
    assert parts.settings.database_url is not None  # noqa: S101  a worker is told
    worked = False
    async with await aconnect(parts.settings.database_url, name="lostid-import", statement_timeout="60s") as conn:
        for job in running:
            if await import_jobs.take(conn, job.number):
                try:
                    worked |= await run(parts, conn, job)
                finally:
                    await import_jobs.leave(conn, job.number)
    return worked


async def run(parts: Parts, conn: AsyncConn, job: Import) -> bool:
    """To its end. Each chunk waits until every host has the one before, so that no host falls behind by more."""
    while (appended := await import_jobs.step(conn, job)) is not None:
        await wait(parts.reports_pool, appended.seq, appended.hash, parts.told)
        await _registry_has(parts, appended.seq)
    head = await import_jobs.head(conn)
    await wait(parts.reports_pool, head.seq, head.hash, parts.told)
    ended = await import_jobs.end(conn, job)
    if ended:
        logs.line("import.done", id=job.id, state=job.state, rows=job.accepted)
    return ended


async def _registry_has(parts: Parts, seq: int) -> None:
    """Do not run away from the relay, or every check with a record would have to ask the ledger. No promise rests on
    it: a registry that is away or late holds nobody up for long."""
    with suppress(redis.RedisError, OSError, TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            # It says nothing when it moves.
            while int(await parts.redis.hget(HEAD, "seq") or 0) < seq:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
