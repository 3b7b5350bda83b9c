"""Reports among the checks: how long until the receipt, and how long until the card is refused everywhere.

Both count from when the report was due. While a report is under way its card is checked again and again on connections
of its own, which the kernel hands to whichever worker accepts first; "everywhere" is when the last of them was refused
for the first time. After the receipt it is checked once more among all the others, and must be refused (promise G1).
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from lostid_load.outcome import Outcome, Target
from lostid_load.population import Holder, Population
from lostid_load.scenario import Scenario, Step
from lostid_load.schedule import arrivals
from lostid_load.truth import REFUSALS
from lostid_load.wire import Connection, ask, connect, request

_AT_ONCE = 4
_AFTER_THE_RECEIPT = 4
_BETWEEN_S = 0.001  # without it, probes would be most of the load


def report(target: Target, seed: int, body: Mapping[str, Any], key: str) -> bytes:
    """The bytes of a report."""
    full = {**body, "operator": target.reporter, "case_number": f"load-{seed}"}
    return request(target.host, "/v1/reports", target.reporter_key, full, key)


class Reporter:
    """Sends one process's share of the scenario's reports when they are due, a few at a time."""

    def __init__(
        self,
        scenario: Scenario,
        target: Target,
        process: int,
        population: Population,
        outcome: Outcome,
        ask_now: Callable[[Holder], None],
    ) -> None:
        self._scenario = scenario
        self._target = target
        self._process = process
        self._population = population
        self._outcome = outcome
        self._ask_now = ask_now
        self._free: asyncio.Queue[Connection] = asyncio.Queue()
        self.under_way = 0

    async def run(self, start: float) -> None:
        """From ``start`` (time.monotonic) until the last report has had its receipt and was refused everywhere."""
        rate = self._scenario.reports_per_second
        if not rate:
            return
        for _ in range(_AT_ONCE):
            self._free.put_nowait(await connect(self._target))
        steps = [Step(self._scenario.seconds, rate, rate)]
        chance = random.Random(f"{self._scenario.seed}/{self._process}/reports")
        async with asyncio.TaskGroup() as group:
            for due in arrivals(steps, 1.0 / self._scenario.processes, chance):
                await asyncio.sleep(start + due - time.monotonic())
                self.under_way += 1
                group.create_task(self._one(self._population.to_report(), start + due))

    async def _one(self, holder: Holder, intended: float) -> None:
        truth, outcome = self._outcome.truth, self._outcome
        connection = await self._free.get()
        truth.asking(holder.number, time.monotonic())
        probes = [asyncio.create_task(self._refused(holder)) for _ in range(self._scenario.probes)]
        try:
            status = await self._reported(connection, holder)
            if status == 201:
                now = time.monotonic()
                truth.receipt(holder.number, now)
                outcome.receipts.append(int((now - intended) * 1e6))
                for _ in range(_AFTER_THE_RECEIPT):
                    self._ask_now(holder)
                if probes:
                    outcome.everywhere.append(int((max(await asyncio.gather(*probes)) - intended) * 1e6))
            else:
                outcome.statuses[f"report {status}"] = outcome.statuses.get(f"report {status}", 0) + 1
        finally:
            for probe in probes:
                probe.cancel()
        self.under_way -= 1

    async def _reported(self, connection: Connection, holder: Holder) -> int:
        body = {"document": holder.document, "reason": "stolen", "effective_at": "2020-01-01"}
        key = f"storm-{self._scenario.seed}-{self._process}-{holder.number}"
        if not connection.open:
            connection = await _connected(self._target)
        status, _ = await ask(connection, report(self._target, self._scenario.seed, body, key))
        self._free.put_nowait(connection)
        return status

    async def _refused(self, holder: Holder) -> float:
        """When a check that is repeated on one connection was refused for the first time."""
        body = {"document": holder.document, "operator": self._target.operator, "purpose": self._scenario.purpose}
        raw = request(self._target.host, "/v1/checks", self._target.checker_key, body)
        connection = await _connected(self._target)
        try:
            while True:
                if not connection.open:
                    connection = await _connected(self._target)
                sent = time.monotonic()
                status, reply = await ask(connection, raw)
                self._outcome.probes += 1
                if status == 200:
                    told = json.loads(reply).get("status", "?")
                    self._outcome.truth.judge(holder, told, sent)
                    if told in REFUSALS:
                        return time.monotonic()
                await asyncio.sleep(_BETWEEN_S)
        finally:
            connection.close()


async def _connected(target: Target) -> Connection:
    """A connection, as soon as there is one: a server under load may refuse some."""
    while True:
        try:
            return await connect(target)
        except OSError:
            await asyncio.sleep(0.05)
