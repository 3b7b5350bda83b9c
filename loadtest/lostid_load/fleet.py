"""Several driver processes at once, each with its share of the rate and holders of its own."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait

import uvloop

from lostid_load.driver import Driver
from lostid_load.outcome import Outcome, Target
from lostid_load.scenario import Scenario

_READY_S = 600.0


class FleetFailed(Exception):
    """A driver process ended without an outcome."""


def run(scenario: Scenario, target: Target, progress: Callable[[int, Outcome], None]) -> tuple[list[Outcome], float]:
    """Run the scenario; ``progress`` hears of each process once a second. Returns the outcomes and the elapsed seconds.

    Raises:
        FleetFailed: see the class.
    """
    context = multiprocessing.get_context("spawn")
    ends: list[Connection] = []
    processes = []
    for index in range(scenario.processes):
        ours, theirs = context.Pipe()
        process = context.Process(target=_drive, args=(scenario, target, index, theirs), daemon=True)
        process.start()
        theirs.close()
        ends.append(ours)
        processes.append(process)
    try:
        for end in ends:
            _expect_ready(end)
        start = time.monotonic() + 0.3
        for end in ends:
            end.send(start)
        outcomes = _collect(ends, progress)
        return outcomes, max(scenario.seconds, 1e-9)
    finally:
        for process in processes:
            process.join(timeout=2)
            if process.is_alive():
                process.kill()


def _expect_ready(end: Connection) -> None:
    if not end.poll(_READY_S):
        raise FleetFailed("a driver process did not get ready")
    try:
        message = end.recv()
    except EOFError:
        raise FleetFailed("a driver process ended while it got ready") from None
    if message != "ready":
        raise FleetFailed(str(message))


def _collect(ends: list[Connection], progress: Callable[[int, Outcome], None]) -> list[Outcome]:
    outcomes: dict[int, Outcome] = {}
    waiting = {end: index for index, end in enumerate(ends)}
    while waiting:
        for end in wait(list(waiting)):
            assert isinstance(end, Connection)  # noqa: S101 -- what we put in
            try:
                last, outcome = end.recv()
            except EOFError:
                raise FleetFailed("a driver process ended in the middle of the run") from None
            progress(waiting[end], outcome)
            if last:
                outcomes[waiting.pop(end)] = outcome
    return [outcomes[index] for index in range(len(ends))]


def _drive(scenario: Scenario, target: Target, index: int, end: Connection) -> None:
    uvloop.run(_drive_async(scenario, target, index, end))


async def _drive_async(scenario: Scenario, target: Target, index: int, end: Connection) -> None:
    def progress(outcome: Outcome) -> None:
        # The last second alone goes over the pipe: a growing list of latencies would make the driver late.
        end.send((False, Outcome(seconds=outcome.seconds[-2:], truth=outcome.truth, documents=outcome.documents)))

    driver = Driver(scenario, target, index, progress)
    try:
        await driver.prepare()
    except (RuntimeError, OSError) as error:
        end.send(f"the preparation failed: {error}")
        return
    end.send("ready")
    start: float = await asyncio.to_thread(end.recv)
    outcome = await driver.run(start)
    end.send((True, outcome))
