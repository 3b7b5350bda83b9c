"""Arrivals by schedule: when each request is *meant* to start, whatever became of the ones before it (open loop)."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence

from lostid_load.scenario import Step


def arrivals(steps: Sequence[Step], share: float, rng: random.Random) -> Iterator[float]:
    """Seconds from the start of the run, ascending: a Poisson process whose rate follows ``steps``.

    ``share``: the part of the rate that this process makes.
    """
    start = 0.0
    for step in steps:
        # Unit arrivals, put where the expected count reaches them: exact for a rising rate too, however low it begins.
        slope = (step.to_rate - step.from_rate) / step.seconds
        expected = (step.from_rate + step.to_rate) / 2 * step.seconds
        count = rng.expovariate(share)
        while count < expected:
            yield start + 2 * count / (step.from_rate + math.sqrt(step.from_rate**2 + 2 * slope * count))
            count += rng.expovariate(share)
        start += step.seconds
