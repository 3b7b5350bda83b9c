"""Doing together what was asked for in one turn of the event loop."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
Ended = Callable[[], None]


class Gatherer(Generic[T]):
    """Hands everything that was put in during a turn to ``work``, at the begin of the next. While ``at_once`` pieces of
    work are under way, what comes in waits and then goes together.

    ``work`` begins, raises nothing, and calls what it is given once all is done, whatever happens. It belongs to nobody
    who asked: they may be cancelled, the work never is.
    """

    def __init__(self, work: Callable[[list[T], Ended], None], at_once: int) -> None:
        self._work = work
        self._at_once = at_once
        self._waiting: list[T] = []
        self._called = False
        self._under_way = 0
        self._idle: asyncio.Future[None] | None = None

    def put(self, item: T) -> None:
        self._waiting.append(item)
        if not self._called and self._under_way < self._at_once:
            # What is called soon runs in the next turn: all that this turn still puts in goes with it.
            self._called = True
            asyncio.get_running_loop().call_soon(self._start)

    def _start(self) -> None:
        self._called = False
        items, self._waiting = self._waiting, []
        self._under_way += 1
        self._work(items, self._ended)

    def _ended(self) -> None:
        self._under_way -= 1
        if self._waiting and not self._called:
            self._start()
        elif self._idle is not None and not self._busy:
            self._idle.set_result(None)
            self._idle = None

    @property
    def _busy(self) -> bool:
        return bool(self._waiting or self._under_way)

    async def close(self) -> None:
        """Returns when all that was put in has been worked on."""
        while self._busy:
            if self._idle is None:
                self._idle = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._idle)
