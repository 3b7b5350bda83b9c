"""One driver process: sends what the schedule says when it says so, and keeps what came of it.

Latency runs from the *intended* start: a server that stalls for two seconds makes every request that was due meanwhile
late, and all of that shows (no coordinated omission). A request that no connection is free for waits in line, and its
wait counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import resource
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lostid_load.outcome import LATE_US, Outcome, Second, Target
from lostid_load.population import Holder, Population
from lostid_load.reporting import Reporter, report
from lostid_load.scenario import Scenario
from lostid_load.schedule import arrivals
from lostid_load.ticker import Ticker
from lostid_load.wire import Connection, ask, connect, request

_GRACE_S = 5.0
_LOOK_S = 0.01
_MOST_WAITING = 200_000


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
        connections = [await self._connect() for _ in range(self._scenario.connections)]
        watch = loop.create_task(self._watch())
        reporter = Reporter(self._scenario, self._target, self._process, self._population, self.outcome, self._ask_now)
        reporting = loop.create_task(reporter.run(start))
        await self._dispatch_all()
        for _ in range(int(_GRACE_S / _LOOK_S)):
            if not self._in_flight and not self._waiting and reporting.done():
                break
            await asyncio.sleep(_LOOK_S)
        self.outcome.unfinished += self._in_flight + len(self._waiting) + reporter.under_way
        for task in (watch, reporting):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for connection in connections:
            connection.close()
        self.outcome.cpu_share = (_cpu_seconds() - used) / max(1e-9, time.monotonic() - start)
        return self.outcome

    async def prepare(self) -> None:
        """Make the population true: the reports that the scenario stands on."""
        todo = deque(self._population.reports())
        count = len(todo)

        async def work() -> None:
            connection = await self._connect(keep=False)
            while todo:
                body = todo.popleft()
                number = body["document"]["number"]  # type: ignore[index]
                self.outcome.truth.asking(number, 0.0)
                raw = report(self._target, self._scenario.seed, body, f"load-{self._scenario.seed}-{number}")
                status, reply = await ask(connection, raw)
                if status not in (200, 201):
                    raise RuntimeError(f"a report of the preparation was answered {status}: {reply[:300]!r}")
            connection.close()

        await asyncio.gather(*(work() for _ in range(min(4, count))))
        self.outcome.truth.reported_at.update({holder.number: 0.0 for holder in self._population.reported})

    async def _connect(self, *, keep: bool = True) -> Connection:
        connection = await connect(self._target, self._when_free if keep else None)
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
                connection = await self._connect()
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


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
