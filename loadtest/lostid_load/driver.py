"""One driver process: sends what the schedule says when it says so, and keeps what came of it.

Latency runs from the *intended* start: a server that stalls for two seconds makes every request that was due meanwhile
late, and all of that shows (no coordinated omission). A request that no connection is free for waits in line, and its
wait counts.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import time
from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lostid_load.population import Holder, Population
from lostid_load.scenario import Scenario
from lostid_load.schedule import arrivals
from lostid_load.ticker import Ticker
from lostid_load.truth import Truth
from lostid_load.wire import Connection, request

_GRACE_S = 5.0
_LOOK_S = 0.01
_MOST_WAITING = 200_000
LATE_US = 100_000  # an answer later than this from its intended start is one that a queue of guests would feel


@dataclass(frozen=True, slots=True)
class Target:
    """Where the server is, and the keys to use."""

    host: str
    port: int
    checker_key: str
    reporter_key: str
    operator: str = "load-1"
    reporter: str = "load-1"


@dataclass(slots=True)
class Second:
    """What happened in one second of the run (by intended start)."""

    sent: int = 0
    answered: int = 0
    refused: int = 0
    failed: int = 0
    late: int = 0
    worst_us: int = 0


@dataclass(slots=True)
class Outcome:
    """What one process saw. Latencies in microseconds from the intended start."""

    latencies: array[int] = field(default_factory=lambda: array("q"))
    seconds: list[Second] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    receipts: array[int] = field(default_factory=lambda: array("q"))
    truth: Truth = field(default_factory=Truth)
    documents: int = 0
    unfinished: int = 0
    loop_lag_us: int = 0
    cpu_share: float = 0.0


@dataclass(frozen=True, slots=True)
class _Due:
    intended: float
    holders: tuple[Holder, ...]


class Driver:
    """Runs one process's share of a scenario against a target."""

    def __init__(self, scenario: Scenario, target: Target, process: int, progress: Callable[[Outcome], None]) -> None:
        self._scenario = scenario
        self._target = target
        self._rng = random.Random(f"{scenario.seed}/{process}")
        self._share = 1.0 / scenario.processes
        self._population = Population(process, scenario.reported, scenario.replaced, self._rng)
        self._process = process
        self._progress = progress
        self._free: deque[Connection] = deque()
        self._waiting: deque[_Due] = deque()
        self._in_flight = 0
        self._reconnecting: set[asyncio.Task[None]] = set()
        self.outcome = Outcome()
        self._start = 0.0

    async def run(self, start: float) -> Outcome:
        """Run from ``start`` (time.monotonic) to the end of the schedule, and a little longer for what is under way."""
        loop = asyncio.get_running_loop()
        self._start = start
        used = _cpu_seconds()
        connections = [await self._connect(loop) for _ in range(self._scenario.connections)]
        watch = loop.create_task(self._watch())
        reporting = loop.create_task(self._report_along()) if self._scenario.reports_per_second else None
        await self._dispatch_all()
        for _ in range(int(_GRACE_S / _LOOK_S)):
            if not self._in_flight and not self._waiting:
                break
            await asyncio.sleep(_LOOK_S)
        self.outcome.unfinished = self._in_flight + len(self._waiting)
        for task in (watch, reporting):
            if task is not None:
                task.cancel()
        await asyncio.gather(*(t for t in (watch, reporting) if t is not None), return_exceptions=True)
        for connection in connections:
            connection.close()
        self.outcome.cpu_share = (_cpu_seconds() - used) / max(1e-9, time.monotonic() - start)
        return self.outcome

    async def prepare(self) -> None:
        """Make the population true: the reports that the scenario stands on."""
        loop = asyncio.get_running_loop()
        todo = deque(self._population.reports())
        count = len(todo)

        async def work() -> None:
            connection = await self._connect(loop, keep=False)
            while todo:
                body = todo.popleft()
                number = body["document"]["number"]  # type: ignore[index]
                self.outcome.truth.asking(number, 0.0)
                status, reply = await self._report(connection, body, f"load-{self._scenario.seed}-{number}")
                if status not in (200, 201):
                    raise RuntimeError(f"a report of the preparation was answered {status}: {reply[:300]!r}")
            connection.close()

        await asyncio.gather(*(work() for _ in range(min(4, count))))
        self.outcome.truth.reported_at.update({holder.number: 0.0 for holder in self._population.reported})

    async def _connect(self, loop: asyncio.AbstractEventLoop, *, keep: bool = True) -> Connection:
        _, connection = await loop.create_connection(
            lambda: Connection(self._when_free if keep else _nothing), self._target.host, self._target.port
        )
        if keep:
            self._free.append(connection)
        return connection

    async def _dispatch_all(self) -> None:
        finished = asyncio.get_running_loop().create_future()
        schedule = arrivals(self._scenario.steps, self._share / self._scenario.batch, self._rng)
        due = next(schedule, None)

        def ring() -> None:
            nonlocal due
            now = time.monotonic()
            while due is not None and self._start + due <= now:
                self._arrive(self._start + due)
                due = next(schedule, None)
            if due is not None:
                ticker.at(self._start + due)
            elif not finished.done():
                finished.set_result(None)

        ticker = Ticker(ring)
        try:
            ring()
            await finished
        finally:
            ticker.close()

    def _arrive(self, intended: float) -> None:
        holders = tuple(self._population.pick(self._scenario.mix) for _ in range(self._scenario.batch))
        self._second(intended).sent += 1
        due = _Due(intended, holders)
        if self._free:
            self._send(self._free.popleft(), due)
        elif len(self._waiting) < _MOST_WAITING:
            self._waiting.append(due)
        else:
            self.outcome.unfinished += 1
            self._second(intended).failed += 1

    def _when_free(self, connection: Connection) -> None:
        if not connection.open:
            task = asyncio.get_running_loop().create_task(self._reconnect())
            self._reconnecting.add(task)
            task.add_done_callback(self._reconnecting.discard)
        elif self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self._free.append(connection)

    async def _reconnect(self) -> None:
        end = self._start + self._scenario.seconds + _GRACE_S
        while time.monotonic() < end:
            try:
                connection = await self._connect(asyncio.get_running_loop())
            except OSError:
                await asyncio.sleep(0.05)
                continue
            if self._waiting and self._free and self._free[-1] is connection:
                self._free.pop()
                self._send(connection, self._waiting.popleft())
            return

    def _send(self, connection: Connection, due: _Due) -> None:
        sent = time.monotonic()
        self._in_flight += 1

        def done(status: int, body: bytes) -> None:
            self._in_flight -= 1
            self._record(due, sent, status, body)

        try:
            connection.send(self._body(due.holders), done)
        except (AssertionError, OSError):
            done(0, b"")

    def _body(self, holders: tuple[Holder, ...]) -> bytes:
        who = {"operator": self._target.operator, "purpose": self._scenario.purpose}
        if self._scenario.batch == 1:
            body: dict[str, Any] = {"document": holders[0].document, **who}
            return request(self._target.host, "/v1/checks", self._target.checker_key, body)
        body = {**who, "checks": [{"document": holder.document} for holder in holders]}
        return request(self._target.host, "/v1/checks/batch", self._target.checker_key, body)

    def _record(self, due: _Due, sent: float, status: int, body: bytes) -> None:
        outcome = self.outcome
        latency = int((time.monotonic() - due.intended) * 1e6)
        outcome.latencies.append(latency)
        second = self._second(due.intended)
        second.worst_us = max(second.worst_us, latency)
        code = str(status)
        outcome.statuses[code] = outcome.statuses.get(code, 0) + 1
        if status != 200:
            if status in (429, 503):
                second.refused += 1
            else:
                second.failed += 1
            return
        second.answered += 1
        second.late += latency > LATE_US
        outcome.documents += len(due.holders)
        reply = json.loads(body)
        items = [reply] if self._scenario.batch == 1 else reply["results"]
        for holder, item in zip(due.holders, items, strict=True):
            outcome.truth.judge(holder, item.get("status", "?"), sent)

    def _second(self, intended: float) -> Second:
        index = max(0, int(intended - self._start))
        while len(self.outcome.seconds) <= index:
            self.outcome.seconds.append(Second())
        return self.outcome.seconds[index]

    async def _report(self, connection: Connection, body: dict[str, Any], key: str) -> tuple[int, bytes]:
        waiter: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        full = {**body, "operator": self._target.reporter, "case_number": f"load-{self._scenario.seed}"}
        raw = request(self._target.host, "/v1/reports", self._target.reporter_key, full, key)
        connection.send(raw, lambda status, reply: None if waiter.done() else waiter.set_result((status, reply)))
        return await waiter

    async def _report_along(self) -> None:
        """Reports among the checks: each is checked at once on whatever connection is next, and must be refused."""
        connection = await self._connect(asyncio.get_running_loop(), keep=False)
        gap = self._scenario.processes / self._scenario.reports_per_second
        at = self._start
        while at < self._start + self._scenario.seconds:
            at += self._rng.expovariate(1.0 / gap)
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            holder = self._population.to_report()
            body = {"document": holder.document, "reason": "stolen", "effective_at": "2020-01-01"}
            began = time.monotonic()
            self.outcome.truth.asking(holder.number, began)
            key = f"storm-{self._scenario.seed}-{self._process}-{holder.number}"
            status, _ = await self._report(connection, body, key)
            if status == 201:
                now = time.monotonic()
                self.outcome.truth.receipt(holder.number, now)
                self.outcome.receipts.append(int((now - began) * 1e6))
                for _ in range(4):
                    self._ask_now(holder)
            else:
                self.outcome.statuses[f"report {status}"] = self.outcome.statuses.get(f"report {status}", 0) + 1
                if not connection.open:
                    connection = await self._connect(asyncio.get_running_loop(), keep=False)

    def _ask_now(self, holder: Holder) -> None:
        due = _Due(time.monotonic(), (holder,) * self._scenario.batch)
        self._second(due.intended).sent += 1
        if self._free:
            self._send(self._free.popleft(), due)
        else:
            self._waiting.append(due)

    async def _watch(self) -> None:
        """Once a tenth of a second: how late is this loop itself? Once a second: tell the terminal."""
        told = time.monotonic()
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.1)
            now = time.monotonic()
            self.outcome.loop_lag_us = max(self.outcome.loop_lag_us, int((now - before - 0.1) * 1e6))
            if now - told >= 1.0:
                told = now
                self._progress(self.outcome)


def _nothing(connection: Connection) -> None:
    """A connection that is used by one task is not handed on."""


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
