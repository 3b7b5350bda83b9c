"""The words that all rules of the fence share: a position in the ledger, and how long leases last.

Everything in this room but the shells is plain functions of (state, event, now). A ``now`` is always the
caller's own BOOTTIME in nanoseconds; two hosts' clocks are never compared, and no wall clock decides anything.
"""

from dataclasses import dataclass
from typing import Protocol

from lostid.domain.position import Position as Position  # one of the words below, shared with the rooms below


class Link(Protocol):
    """What the rules need to know of an entry: its place in the chain. Any ledger entry fits."""

    @property
    def seq(self) -> int: ...
    @property
    def prev(self) -> bytes: ...
    @property
    def hash(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Terms:
    """The one row of the ledger's `lease` table: no setting, the same for everybody.

    ``wait_ns`` exceeds ``lease_ns`` by what clocks may do to each other meanwhile: rates within 1 % and a guest
    freeze of under 400 ms (A2)."""

    lease_ns: int
    wait_ns: int


TERMS = Terms(lease_ns=1_000_000_000, wait_ns=1_500_000_000)
RENEW_EVERY_NS = 250_000_000
