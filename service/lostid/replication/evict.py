"""EVICT: rows of hosts that went away must not hold up every report for L_w.

A row may be deleted when its (inc, n) did not change from one received sample to a delete sent at least L_w later,
both on the evictor's own clock. The delete names inc *and* n: a host that renewed meanwhile keeps its row, for n is
drawn anew at each renewal.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lostid.replication.rules import Terms


@dataclass(frozen=True, slots=True)
class Sample:
    """(inc, n) as first received, and when: BOOTTIME after the reply."""

    inc: bytes
    n: int
    seen_ns: int


Samples = Mapping[bytes, Sample]


def observe(samples: Samples, rows: Iterable[tuple[bytes, int]], now_ns: int) -> dict[bytes, Sample]:
    """Take in one reading of `hosts`, received at ``now_ns``. A changed n starts anew; vanished rows are forgotten."""
    seen = {}
    for inc, n in rows:
        known = samples.get(inc)
        seen[inc] = known if known is not None and known.n == n else Sample(inc, n, now_ns)
    return seen


def candidates(samples: Samples, now_ns: int, terms: Terms) -> list[Sample]:
    """The rows to delete now: send ``DELETE ... WHERE inc AND n`` for each. ``now_ns``: before the delete is sent."""
    return [s for s in samples.values() if now_ns - s.seen_ns >= terms.wait_ns]
