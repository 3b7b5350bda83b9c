"""Arrivals by schedule: when each request is *meant* to start, whatever became of the ones before it (open loop)."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from lostid_load.scenario import Step


def arrivals(steps: Sequence[Step], share: float, rng: random.Random) -> Iterator[float]:
    """Seconds from the start of the run, ascending: a Poisson process whose rate follows ``steps``.

    ``share``: the part of the rate that this process makes.
    """
    start = 0.0
    for step in steps:
        at = start
        end = start + step.seconds
        while True:
            done = (at - start) / step.seconds
            rate = (step.from_rate + (step.to_rate - step.from_rate) * done) * share
            at += rng.expovariate(rate)
            if at >= end:
                break
            yield at
        start = end
