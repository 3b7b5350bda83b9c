"""Doing together what was asked for in one turn of the event loop."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Gatherer(Generic[T]):
    """Hands everything that was put in during a turn to ``work``, in a task of its own: whoever asked may be cancelled,
    the work never is. While ``at_once`` pieces of work are under way, what comes in waits and then goes together.

    ``work`` sees to its own exceptions.
    """

    def __init__(self, work: Callable[[list[T]], Coroutine[Any, Any, None]], at_once: int) -> None:
        self._work = work
        self._at_once = at_once
        self._waiting: list[T] = []
        self._called = False
        self._under_way: set[asyncio.Task[None]] = set()

    def put(self, item: T) -> None:
        self._waiting.append(item)
        if not self._called and len(self._under_way) < self._at_once:
            # What is called soon runs in the next turn: all that this turn still puts in goes with it.
            self._called = True
            asyncio.get_running_loop().call_soon(self._start)

    def _start(self) -> None:
        self._called = False
        items, self._waiting = self._waiting, []
        task = asyncio.get_running_loop().create_task(self._work(items))
        self._under_way.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if self._waiting and not self._called:
            self._start()
        if not task.cancelled():
            task.result()  # a mistake in `work` goes to the loop's exception handler, not into silence

    async def close(self) -> None:
        """Returns when all that was put in has been worked on."""
        while self._waiting or self._under_way:
            await (asyncio.wait(self._under_way) if self._under_way else asyncio.sleep(0))
