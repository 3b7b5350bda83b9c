"""Where a run goes, and what one process of it saw."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from lostid_load.truth import Truth

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
    """What one process saw. Latencies in microseconds from the intended start.

    ``everywhere``: until every probe of a reported card had been refused; ``probes``: how many answers they had.
    """

    latencies: array[int] = field(default_factory=lambda: array("q"))
    seconds: list[Second] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    receipts: array[int] = field(default_factory=lambda: array("q"))
    everywhere: array[int] = field(default_factory=lambda: array("q"))
    probes: int = 0
    truth: Truth = field(default_factory=Truth)
    documents: int = 0
    unfinished: int = 0
    loop_lag_us: int = 0
    cpu_share: float = 0.0
