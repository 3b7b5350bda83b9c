"""Who waits, who is served next and who is told to come back, when more is asked than can be answered.

What must hold:
- nothing is lost: what `put` admits, `take` gives out once, in the order of its tenant;
- nobody waits long: what waits never exceeds the limit by more than one request of each tenant (and by half of it
  where it has just become smaller), and whoever asks beyond it is told so at once, not after a wait;
- nobody suffers for another: no tenant may hold more than twice what is still free (the dynamic threshold of Choudhury
  and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998), but each its share of half the limit, also where more than
  the limit is waiting; tenants that wait are served in turn, each the same cost (deficit round robin), and whoever has
  just come is served before those who wait all the time (RFC 8290, section 4.2).

Costs are in units of one ordinary check."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

QUANTUM = 16
_SHARE_OF_FREE = 2


class Taken(NamedTuple, Generic[T]):
    tenant: str
    item: T
    cost: int
    waited_ns: int


@dataclass(slots=True)
class _Flow(Generic[T]):
    """One tenant's requests, and what it may still be served in this round."""

    tenant: str
    waiting: int = 0
    credit: int = QUANTUM
    queue: deque[tuple[T, int, int]] = field(default_factory=deque)


class Backlog(Generic[T]):
    """`limit`: how much cost may wait; it may be changed at any time."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.waiting = 0
        self._flows: dict[str, _Flow[T]] = {}
        self._new: deque[_Flow[T]] = deque()
        self._old: deque[_Flow[T]] = deque()

    def has_room(self, tenant: str) -> bool:
        """Whether `put` would admit a request of this tenant."""
        flow = self._flows.get(tenant)
        own = 0 if flow is None else flow.waiting
        share = self.limit // (2 * (len(self._flows) + 1))
        return own < max(share, _SHARE_OF_FREE * (self.limit - self.waiting))

    def holds(self, tenant: str) -> bool:
        """Whether a request of this tenant is waiting."""
        flow = self._flows.get(tenant)
        return flow is not None and flow.waiting > 0

    def put(self, tenant: str, cost: int, item: T, now_ns: int) -> bool:
        """Whether the request may wait. False: it has to be refused now."""
        if not self.has_room(tenant):
            return False
        flow = self._flows.get(tenant)
        if flow is None:
            flow = self._flows[tenant] = _Flow(tenant)
            self._new.append(flow)
        flow.queue.append((item, cost, now_ns))
        flow.waiting += cost
        self.waiting += cost
        return True

    def take(self, now_ns: int) -> Taken[T] | None:
        """The next request to serve; None: nobody waits."""
        while self._new or self._old:
            flows = self._new or self._old
            flow = flows[0]
            if flow.credit <= 0:
                flow.credit += QUANTUM
                flows.popleft()
                self._old.append(flow)
            elif flow.queue:
                item, cost, since = flow.queue.popleft()
                flow.credit -= cost
                flow.waiting -= cost
                self.waiting -= cost
                return Taken(flow.tenant, item, cost, now_ns - since)
            elif flows is self._new and self._old:
                # Else a tenant could be new again with each request, and always come first.
                self._old.append(flows.popleft())
            else:
                flows.popleft()
                del self._flows[flow.tenant]
        return None


class Pace:
    """How long a unit takes at present, from one turn of the loop to the next, and so how much may wait."""

    def __init__(self, unit_ns: float, longest_wait_ns: int) -> None:
        self._unit_ns = unit_ns
        self._longest_wait_ns = longest_wait_ns

    @property
    def limit(self) -> int:
        """What is done in the longest time that anybody shall wait."""
        return max(1, int(self._longest_wait_ns / self._unit_ns))

    def learn(self, units: int, took_ns: int) -> None:
        """`units` were done in this time, and more was waiting at its end."""
        if units > 0:
            seen = took_ns / units
            self._unit_ns = min(max(self._unit_ns + (seen - self._unit_ns) / _MEMORY, _FASTEST_NS), _SLOWEST_NS)

    def hurry(self) -> None:
        """Somebody was refused, and yet nobody waits now: more could be done than was thought. How much more is not
        known, and what was done says nothing of it, for it was limited by who was admitted."""
        self._unit_ns = max(self._unit_ns * (1 - 1 / _MEMORY), _FASTEST_NS)


_FASTEST_NS, _SLOWEST_NS = 5_000.0, 5_000_000.0
_MEMORY = 64


def slice_ns(elsewhere_ns: int) -> int:
    """How long to serve those who wait in one turn of the loop: what reading, refusing and answering at once left of a
    short turn, for a report takes some seventy turns, and whoever keeps to its share waits for half a turn. But at
    least a quarter of what all that took, so that who asks much too much does not end all service."""
    return min(max(TURN_NS - elsewhere_ns, elsewhere_ns // 4), LONGEST_NS)


def next_wakes(wakes: int, elsewhere_ns: int, slice_ns: int) -> int:
    """How many of the refused may be read from in the next turn, so that refusing takes no more than a share of it.
    Whoever was refused and asks again at once has to wait for that, which is the only thing that slows such down."""
    if elsewhere_ns > slice_ns:
        return max(FEWEST_WAKES, wakes - wakes // 8)
    return min(MOST_WAKES, wakes + wakes // 8)


TURN_NS = 1_000_000  # as long as it can be kept
LONGEST_NS = 8_000_000
FEWEST_WAKES, MOST_WAKES = 8, 4_096
