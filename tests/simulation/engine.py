"""Discrete events on one virtual time line: actors are generators that give up the floor at every yield.

An actor yields a number of nanoseconds (it goes on after that), or `PARK` (it goes on when somebody wakes it).
Between two yields it does one read or one write; at a yield anything else may happen, for as long as the actor's
process is paused. Nothing here depends on anything but the seed: the same seed gives the same trace, bit by bit.
"""

import heapq
import random
from collections.abc import Callable, Generator
from typing import Any

PARK = -1
LOST: Any = object()  # instead of a reply: the outcome is unknown

Steps = Generator[int, Any, Any]


class Process:
    """What is paused or killed as one: all actors in it stop together."""

    __slots__ = ("alive", "memory", "name", "paused_until")

    def __init__(self, name: str) -> None:
        self.name = name
        self.memory: Any = None  # of a worker: its cached API keys
        self.alive = True
        self.paused_until = 0


class Engine:
    """The heap of what happens next."""

    def __init__(self, seed: int) -> None:
        self.now = 0
        self.rng = random.Random(seed)
        self.random = self.rng.random
        self.serial = 0
        self._heap: list[tuple[int, int, Callable[[Any], None], Any]] = []
        self._end = 0

    def at(self, when: int, act: Callable[[Any], None], value: Any = None) -> None:
        self.serial += 1
        heapq.heappush(self._heap, (when, self.serial, act, value))

    def run(self, end: int) -> None:
        heap = self._heap
        self._end = end
        pop = heapq.heappop
        while heap and heap[0][0] <= end:
            when, _, act, value = pop(heap)
            self.now = when
            act(value)

    def passes_undisturbed(self, delay: int) -> bool:
        """Move the time on by ``delay`` if nothing else happens before then: saves a turn through the heap."""
        then = self.now + delay
        if then > self._end or (self._heap and self._heap[0][0] <= then):
            return False
        self.now = then
        return True


class Actor:
    """One generator at work inside a process."""

    __slots__ = ("engine", "process", "steps", "token")

    def __init__(self, engine: Engine, process: Process, steps: Callable[["Actor"], Steps], start: int) -> None:
        self.engine = engine
        self.process = process
        self.token = 0
        self.steps = steps(self)
        engine.at(start, self._go_on, None)

    def _go_on(self, value: Any) -> None:
        engine, process, send = self.engine, self.process, self.steps.send
        if not process.alive:
            return
        if process.paused_until > engine.now:
            engine.at(process.paused_until, self._go_on, value)
            return
        try:
            while True:
                delay = send(value)
                if delay == PARK:
                    return
                if not engine.passes_undisturbed(delay):
                    engine.at(engine.now + delay, self._go_on, None)
                    return
                value = None
        except StopIteration:
            pass

    def waits(self) -> int:
        """A ticket for the next PARK: only the first wake with it counts."""
        self.token += 1
        return self.token

    def wake(self, ticket_and_value: tuple[int, Any]) -> None:
        """End the PARK for which the ticket was drawn; a late wake is like a reply on a closed connection."""
        if self.token != ticket_and_value[0] or not self.process.alive:
            return
        if self.process.paused_until > self.engine.now:
            self.engine.at(self.process.paused_until, self.wake, ticket_and_value)
            return
        self.token += 1
        self._go_on(ticket_and_value[1])
