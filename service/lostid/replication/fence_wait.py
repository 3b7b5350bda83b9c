"""FENCE, as a writer waits at it: after the commit's reply, until no host can still answer from before the entry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from weakref import WeakKeyDictionary

from lostid.domain.position import Position
from lostid.filter.page import boottime_ns
from lostid.ledger import hosts
from lostid.ledger.errors import LedgerError
from lostid.ledger.pool import LedgerPool
from lostid.ledger.statement import AsyncConn
from lostid.replication import fence
from lostid.replication.evictor import Evictor
from lostid.replication.fence import Passed, Seen
from lostid.replication.rules import TERMS

# A look costs the ledger and this process more than all else in the wait, and cannot succeed before this host's own
# replica has told the ledger. That is watched on the page, for next to nothing; not for long, since a replica may be
# away.
_WATCH_S: Final = 0.001
_WATCHED_NS: Final = 5_000_000
# Other hosts take about a millisecond more; whoever waits longer waits for a host that went away.
_PAUSES_S: Final = (0.001, 0.001, 0.002, 0.003)
_LONGEST_S: Final = 0.005
_EVICT_AFTER_NS: Final = 20_000_000


class FenceUnproven(Exception):
    """The wait is over, but no server that has the entry could be asked: nothing may be sent. Try again later."""


@dataclass(frozen=True, slots=True)
class Visibility:
    """For the answer: how many hosts there are, how many had the entry, how long it took."""

    hosts: int
    confirmed: int
    waited_ms: float


_evictors: WeakKeyDictionary[LedgerPool, Evictor] = WeakKeyDictionary()


async def wait(pool: LedgerPool, seq: int, hash_: bytes, told: Callable[[], int] | None = None) -> Visibility:
    """Call it after the reply to the entry's commit, or after its row was found. Returns when the fence is passed.

    `told` is up to where this host, as it says itself, has told the ledger: only for choosing when to ask.
    Raises FenceUnproven. May be cancelled at any time: it only looks (and removes rows that stand still).
    """
    begun = fence.begin(Position(seq, hash_), boottime_ns())
    evictor = _evictors.setdefault(pool, Evictor())
    looks = 0
    if told is not None:
        while told() < seq and boottime_ns() - begun.t0_ns < _WATCHED_NS:  # noqa: ASYNC110  another process's memory
            await asyncio.sleep(_WATCH_S)
    while True:
        seen = await _look(pool, begun.position)
        now = boottime_ns()
        passed = fence.passed(begun, seen, now, TERMS)
        if passed is not None:
            return _visibility(passed, seen)
        if now - begun.t0_ns >= _EVICT_AFTER_NS:
            await _evict(pool, evictor)
        await asyncio.sleep(_PAUSES_S[looks] if looks < len(_PAUSES_S) else _LONGEST_S)
        looks += 1


def _visibility(passed: Passed, seen: Seen | None) -> Visibility:
    """Stricter than the rule, by which the wait alone may pass: the receipt tells of hosts, so they must be seen."""
    if seen is None or not seen.has_entry:
        raise FenceUnproven("no server that has the entry could be asked")
    return Visibility(passed.hosts, passed.confirmed, round(passed.waited_ns / 1e6, 1))


async def _look(pool: LedgerPool, position: Position) -> Seen | None:
    async def ask(conn: AsyncConn) -> Seen:
        state = await hosts.fence_state(conn, position.seq, position.hash)
        return Seen(state.has_entry, state.hosts, state.behind)

    try:
        return await pool.read(ask)
    except LedgerError:
        return None


async def _evict(pool: LedgerPool, evictor: Evictor) -> None:
    """Rows that stand still hold every report up for L_w; the next one need not wait for them again."""
    if not evictor.due(boottime_ns()):
        return
    try:
        evictor.observe(await pool.read(hosts.SAMPLE.arun), boottime_ns())
        for sample in evictor.still(boottime_ns()):
            gone = {"inc": sample.inc, "n": sample.n}
            await pool.write(lambda conn, gone=gone: hosts.EVICT.arun(conn, gone))  # type: ignore[misc]  # bound at once
            evictor.forget(sample)
    except LedgerError:
        return  # the fence itself will say so
