"""`lostid serve` whose workers stop at named points of a report. The service itself knows nothing of it.

    python -m tests.faults.failpoint_host serve ...

The points are put around the worker's own functions, from outside, before it begins. A point does nothing until its
plan lies in the folder that FAILPOINTS names: see `Plans`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from lostid import children
from lostid.api import reporting, reports, writing
from lostid.api.signing import Signer
from lostid.cli import main as command_line
from lostid.ledger import hosts, writes
from lostid.ledger.errors import LedgerUnknown
from lostid.ledger.pool import LedgerPool
from lostid.ledger.writes import Recorded
from lostid.registry.client import open_client
from lostid.registry.head import read_head
from tests.faults.failpoints import CRASH, HOLD, UNKNOWN, Plans, Point

_LOOK_S: Final = 0.002
plans = Plans(Path(os.environ["FAILPOINTS"]))


async def reached(point: Point) -> None:
    """Do what is planned for this point, once."""
    action = plans.take(point)
    if action == CRASH:
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == HOLD:
        await until(lambda: not plans.holds(point))
    elif action == UNKNOWN:
        raise LedgerUnknown("a failpoint: the reply to the commit was lost")


async def until(done: Callable[[], bool | Awaitable[bool]]) -> None:
    while True:
        found = done()
        if found if isinstance(found, bool) else await found:
            return
        await asyncio.sleep(_LOOK_S)


def after(point: Point, function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The same function; when it has done its work the point is reached."""

    async def with_point(*arguments: Any, **named: Any) -> Any:
        done = await function(*arguments, **named)
        await reached(point)
        return done

    return with_point


def at_once_after(point: Point, function: Callable[..., Any]) -> Callable[..., Any]:
    """For a function that is no coroutine: a hold holds the whole worker."""

    def with_point(*arguments: Any, **named: Any) -> Any:
        done = function(*arguments, **named)
        action = plans.take(point)
        if action == CRASH:
            os.kill(os.getpid(), signal.SIGKILL)
        while action == HOLD and plans.holds(point):
            time.sleep(_LOOK_S)
        return done

    return with_point


def commits(record: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """`writes.record`; only a new entry is a commit."""

    async def with_point(*arguments: Any) -> Any:
        outcome = await record(*arguments)
        if isinstance(outcome, Recorded):
            await reached(Point.COMMITTED)
        return outcome

    return with_point


def fences(wait: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """`fence_wait.wait`. The points before it are reached when what they are named after has happened."""

    async def with_points(pool: LedgerPool, seq: int, hash_: bytes, *more: Any) -> Any:
        if plans.has(Point.IN_REDIS):
            await until(lambda: _in_redis(seq))
            await reached(Point.IN_REDIS)
        if plans.has(Point.APPLIED):
            await until(lambda: _applied(pool, seq, hash_))
            await reached(Point.APPLIED)
        done = await wait(pool, seq, hash_, *more)
        await reached(Point.FENCE_PASSED)
        return done

    return with_points


def _in_redis(seq: int) -> bool:
    with open_client(os.environ["LOSTID_REDIS_URL"]) as client:
        position = read_head(client).position
    return position is not None and position.seq >= seq


async def _applied(pool: LedgerPool, seq: int, hash_: bytes) -> bool:
    return (await pool.read(hosts.fence_state, seq, hash_)).behind == 0


class HalfSent(Response):
    """The report's answer, of which one half is sent."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not plans.has(Point.HALF_SENT):
            return await super().__call__(scope, receive, send)
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        half = bytes(self.body)[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        await asyncio.sleep(0.05)  # it leaves at the end of the loop's turn
        await reached(Point.HALF_SENT)


def put(owner: object, name: str, around: Callable[[Any], Any]) -> None:
    setattr(owner, name, around(getattr(owner, name)))


def put_points() -> None:
    """Into the worker that this process is about to be."""
    put(reports, "sent_write", lambda whole: after(Point.PARSED, whole))
    put(reporting, "authorise", lambda whole: at_once_after(Point.AUTHORISED, whole))
    put(writes, "record", commits)
    put(writing, "wait", fences)
    put(Signer, "report", lambda whole: at_once_after(Point.SIGNED, whole))
    put(writes, "store_answer", lambda whole: after(Point.STORED, whole))
    put(writing, "Response", lambda whole: HalfSent)


def with_points(begin: Callable[..., int]) -> Callable[..., int]:
    """What the supervisor's children do."""

    def begin_here(name: str, *more: Any) -> int:
        if name == children.WORKER:
            put_points()
        return begin(name, *more)

    return begin_here


if __name__ == "__main__":
    put(children, "begin", with_points)
    command_line()
