"""The schedule: which faults come, drawn from a seed, and how they are played beside each other."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.faults import engine_kinds, kinds
from tests.faults.cluster import Cluster
from tests.faults.kinds import Fault, Play

AT_ONCE = 2
GAP_S = (0.3, 3.0)
_TURN_S = 0.02

Draw = Callable[[random.Random], Fault]
STORM = "connection storm"


@dataclass(frozen=True, slots=True)
class Played:
    """A fault that was played, from `began` to `ended` (CLOCK_MONOTONIC). `failed`: why it could not be."""

    kind: str
    what: str
    began: float
    ended: float
    failed: str = ""


def storm(order: Callable[[float], None]) -> Draw:
    """The load does this one, on our order."""

    def draw(rng: random.Random) -> Fault:
        seconds = rng.uniform(0.5, 2.0)

        def play(cluster: Cluster) -> Play:
            order(seconds)
            yield seconds

        return Fault(STORM, f"{seconds:.1f} s, given up after 0 to 30 ms", frozenset({STORM}), play)

    return draw


def table(order: Callable[[float], None]) -> list[tuple[Draw, int]]:
    """Every kind with its weight."""
    return [
        (kinds.kill, 12),
        (kinds.pause, 20),
        (kinds.restart_host, 3),
        (kinds.rolling_restart, 1),
        (kinds.guest, 3),
        (engine_kinds.flush, 4),
        (engine_kinds.restart_empty, 3),
        (engine_kinds.restart_older, 3),
        (engine_kinds.stale_copy, 5),
        (engine_kinds.client_pause, 4),
        (engine_kinds.restart_postgres, 3),
        (engine_kinds.kill_backend, 5),
        (engine_kinds.failover, 6),
        (storm(order), 5),
        (kinds.disk_full, 5),
        (kinds.wire("delay", least=0.5, most=3.0), 5),
        (kinds.wire("stall", least=0.3, most=3.5), 5),
        (kinds.wire("cut", least=0.3, most=3.5), 6),
        (kinds.reset, 5),
        (kinds.wire("half_open", least=0.5, most=4.0), 5),
        (kinds.wire("trickle", least=0.3, most=1.5), 4),
        (kinds.wire("truncate", least=0.3, most=1.5), 4),
    ]


def drawn(rng: random.Random, found: list[tuple[Draw, int]]) -> Iterator[tuple[float, Fault]]:
    """Without end: how long to wait after the last one began, and the next."""
    draws, weights = [draw for draw, _ in found], [weight for _, weight in found]
    while True:
        (draw,) = rng.choices(draws, weights)
        yield rng.uniform(*GAP_S), draw(rng)


class _Playing:
    """One fault on its way."""

    def __init__(self, fault: Fault, cluster: Cluster) -> None:
        self.fault = fault
        self.began = time.monotonic()
        self._steps = fault.play(cluster)
        self._due = self.began

    def advance(self) -> Played | None:
        """A step, if it is time for one; what was played, if it is over."""
        if time.monotonic() < self._due:
            return None
        failed = ""
        try:
            self._due = time.monotonic() + next(self._steps)
            return None
        except StopIteration:
            pass
        except Exception as error:  # what it could not do because of another fault: told, not counted
            failed = f"{type(error).__name__}: {error}".splitlines()[0][:300]
        return Played(self.fault.kind, self.fault.what, self.began, time.monotonic(), failed)


def play(faults: Iterator[tuple[float, Fault]], cluster: Cluster, until: float, told: Callable[[Played], None]) -> None:
    """Start faults in their order until `until`, two at a time where no claim is shared; end when all are over."""
    playing: list[_Playing] = []
    gap, fault = next(faults)
    due = time.monotonic() + gap
    while playing or time.monotonic() < until:
        for one in list(playing):
            if (played := one.advance()) is not None:
                playing.remove(one)
                told(played)
        claimed = frozenset[str]().union(*(one.fault.claims for one in playing))
        now = time.monotonic()
        if due <= now < until and len(playing) < AT_ONCE and not claimed & fault.claims:
            playing.append(_Playing(fault, cluster))
            gap, fault = next(faults)
            due = now + gap
        time.sleep(_TURN_S)
