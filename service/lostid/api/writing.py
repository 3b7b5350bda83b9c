"""From a recorded entry to its answer: FENCE and ANSWER of design section 5, the same for every write.

Nothing leaves before the fence is passed and the answer is stored; what leaves is always the stored answer. A
caller who goes away changes nothing: the whole story runs in a task of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from lostid.api import logs
from lostid.api.parts import Parts
from lostid.api.problems import Problem
from lostid.ledger import writes
from lostid.ledger.entries import Appended
from lostid.ledger.errors import LedgerError
from lostid.ledger.writes import InForce, InUse, Outcome, Recorded, Replay, Reused, WriteKey
from lostid.replication.fence_wait import FenceUnproven, Visibility, wait


@dataclass(frozen=True, slots=True)
class Receipt:
    """What is sent: the stored answer, and whether it was sent before."""

    body: bytes
    replayed: bool

    @property
    def id(self) -> str:
        return str(json.loads(self.body)["id"])

    def answer(self, status: int, path: str) -> Response:
        """`path`: where what was made is found, without its id."""
        headers = {"Location": f"{path}/{self.id}"}
        if self.replayed:
            headers["Idempotent-Replayed"] = "true"
        return Response(self.body, status, headers, "application/json")


@dataclass(frozen=True, slots=True)
class Proved:
    """An entry whose effect is proved everywhere. `new` is False where an earlier request recorded it and died."""

    id: str
    appended: Appended
    visibility: Visibility
    new: bool


Answer = Callable[[Proved], Awaitable[tuple[bytes, InForce | None]]]


async def prove(parts: Parts, write: WriteKey, id_: str, outcome: Outcome, status: int, answer: Answer) -> Receipt:
    """What became of the write. `id_` is the entry's where it is new. Raises Problem."""
    if isinstance(outcome, Replay):
        return Receipt(outcome.answer, replayed=True)
    if isinstance(outcome, InUse):
        raise Problem("idempotency_key_in_use")
    if isinstance(outcome, Reused):
        raise Problem("idempotency_key_reused")
    new = isinstance(outcome, Recorded)
    id_, appended = (id_ if isinstance(outcome, Recorded) else outcome.id), outcome.appended
    # From here on it is in the ledger. Whatever fails: recorded, effect not proved, ask again.
    try:
        # FENCE: until no host can still answer from before the entry.
        visibility = await wait(parts.reports_pool, appended.seq, appended.hash, parts.told)
        # ANSWER: the entry is still there, and the answer is stored where there is none.
        body, in_force = await answer(Proved(id_, appended, visibility, new))
        stored = await parts.reports_pool.write(
            lambda conn: writes.store_answer(conn, write, appended, status, body, in_force)
        )
    except (LedgerError, FenceUnproven) as error:
        logs.line("report.not_yet_in_force", id=id_, seq=appended.seq, error=type(error).__name__)
        raise Problem("not_yet_in_force", extra={"id": id_}) from None
    if stored is None:  # a failover lost the entry: nothing was promised, and nothing is
        logs.line("report.lost_with_its_server", id=id_, seq=appended.seq)
        raise Problem("ledger_unavailable")
    return Receipt(stored.answer, replayed=not stored.first)


_under_way: set[asyncio.Task[Any]] = set()


async def to_its_end(story: Coroutine[Any, Any, Receipt]) -> Receipt:
    """In a task that nobody's going away can cancel."""
    task = asyncio.create_task(story)
    _under_way.add(task)
    task.add_done_callback(_heard)
    return await asyncio.shield(task)


def _heard(task: asyncio.Task[Any]) -> None:
    """Its failure was told to the caller, if there still was one."""
    _under_way.discard(task)
    if not task.cancelled():
        task.exception()


async def finish_writes(seconds: float) -> None:
    """At shutdown: let the stories under way come to their end."""
    if _under_way:
        await asyncio.wait(_under_way, timeout=seconds)
