"""A closed loop over a few kept-alive connections, and what the server's processes used meanwhile."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

import uvloop

from lostid_load.wire import Connection

_TICKS = 100.0  # /proc counts CPU in hundredths of a second (proc(5), sysconf(_SC_CLK_TCK) on Linux)


@dataclass(frozen=True, slots=True)
class Figures:
    """One run against one server. Times in microseconds; ``cpu_us``: of all server processes, per document."""

    rate: float
    cpu_us: float
    p50_us: float
    p99_us: float
    failed: int


Ask = Callable[[int, float], Figures]
"""Over so many connections, for so many seconds."""


class Usage:
    """What some processes used while the block ran: user and system time, their threads included.

    One that ends meanwhile (PostgreSQL's autovacuum comes and goes) counts for nothing."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self.seconds = 0.0

    def __enter__(self) -> Self:
        self._before = _cpu_seconds(self._pids)
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = sum(now - self._before[pid] for pid, now in _cpu_seconds(self._before).items())


def asking(port: int, requests: Sequence[bytes], documents: int, pids: Sequence[int]) -> Ask:
    """For a server that speaks HTTP; each request holds ``documents`` documents. Rate and CPU are per document that was
    answered."""
    return partial(_measure, port, requests, documents, pids)


def _measure(
    port: int, requests: Sequence[bytes], documents: int, pids: Sequence[int], connections: int, seconds: float
) -> Figures:
    began = time.monotonic()
    with Usage(pids) as usage:
        latencies, failed = uvloop.run(_ask(port, requests, connections, seconds))
    elapsed = time.monotonic() - began
    answered = max(1, (len(latencies) - failed) * documents)
    ordered = sorted(latencies)
    return Figures(
        rate=answered / elapsed,
        cpu_us=usage.seconds / answered * 1e6,
        p50_us=_percentile(ordered, 0.5),
        p99_us=_percentile(ordered, 0.99),
        failed=failed,
    )


async def _ask(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> tuple[array[int], int]:
    loop = asyncio.get_running_loop()
    latencies: array[int] = array("q")
    failed = 0
    end = time.monotonic() + seconds
    ended = loop.create_future()
    live: set[Connection] = set()

    def next_question(connection: Connection) -> None:
        if not connection.open:
            live.discard(connection)
            if not live and not ended.done():
                ended.set_result(None)
        elif time.monotonic() >= end:
            connection.close()
        else:
            ask(connection, time.perf_counter_ns())

    def ask(connection: Connection, sent: int) -> None:
        def done(status: int, body: bytes) -> None:
            nonlocal failed
            latencies.append((time.perf_counter_ns() - sent) // 1000)
            failed += status != 200

        connection.send(requests[len(latencies) % len(requests)], done)

    for _ in range(connections):
        _, connection = await loop.create_connection(lambda: Connection(next_question), "127.0.0.1", port)
        live.add(connection)
    for connection in tuple(live):
        next_question(connection)
    await asyncio.wait_for(ended, seconds + 30)
    return latencies, failed


def _percentile(ordered: Sequence[int], share: float) -> float:
    return float(ordered[min(len(ordered) - 1, int(len(ordered) * share))]) if ordered else 0.0


def _cpu_seconds(pids: Iterable[int]) -> dict[int, float]:
    """Of those that are still there."""
    used: dict[int, float] = {}
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
            used[pid] = (int(fields[11]) + int(fields[12])) / _TICKS
    return used


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo.extend(children.get(found[-1], ()))
    return found
