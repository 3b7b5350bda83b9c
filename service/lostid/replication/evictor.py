"""EVICT, as its shells carry it out: every replica now and then, and every writer that waits at a fence."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lostid.ledger import hosts
from lostid.ledger.hosts import Host
from lostid.ledger.statement import Conn
from lostid.replication import evict
from lostid.replication.evict import Sample
from lostid.replication.rules import TERMS, Terms

LOOK_EVERY_NS = 400_000_000


class Evictor:
    """Remembers which rows stood still since when, on its own clock. One per process."""

    def __init__(self, terms: Terms = TERMS) -> None:
        self._terms = terms
        self._samples: dict[bytes, Sample] = {}
        self._looked_ns = -LOOK_EVERY_NS

    def due(self, now_ns: int) -> bool:
        """Is it time to read the rows again?"""
        return now_ns - self._looked_ns >= LOOK_EVERY_NS

    def observe(self, rows: Sequence[Host], now_ns: int) -> None:
        """`now_ns` is read after the reply."""
        self._looked_ns = now_ns
        self._samples = evict.observe(self._samples, ((row.inc, row.n) for row in rows), now_ns)

    def still(self, now_ns: int, ours: bytes | None = None) -> list[Sample]:
        """The rows to delete; `now_ns` is read before the first delete is sent. Never our own: that one we LEAVE."""
        return [sample for sample in evict.candidates(self._samples, now_ns, self._terms) if sample.inc != ours]

    def forget(self, sample: Sample) -> None:
        self._samples.pop(sample.inc, None)


def look(evictor: Evictor, conn: Conn, clock: Callable[[], int], ours: bytes | None) -> int:
    """Sample and delete, for the replica. Returns how many rows are gone by our hand."""
    evictor.observe(hosts.sample(conn), clock())
    gone = 0
    for sample in evictor.still(clock(), ours):
        gone += hosts.evict(conn, sample.inc, sample.n)
        evictor.forget(sample)
    return gone
