"""Which tenants keep to their share of a worker that is asked too much. Their requests are served as soon as they are
read: whoever asks for less than is there for it neither waits nor is refused because another asks for more.

What must hold:
- a share is an equal part of what was served lately among those who were served, so that all that is served at once
  is, over any time, no more than was served anyway (and a burst of each tenant);
- whoever has had more than its share has to wait until its windows have paid for it, and for no longer than those of
  one burst;
- who was not there for a while has a burst ahead of it, and no more.

Costs are in units of one ordinary check; a window is as long as its caller makes it."""

from __future__ import annotations

BURST = 4  # shares at once: what a tenant asks for comes in no even stream
_MEMORY = 4  # windows


class Shares:
    """One per worker."""

    def __init__(self) -> None:
        self._had: dict[str, int] = {}
        self._total = 0.0  # served in a window
        self._served = 0
        self._allowance = 0.0

    def has_left(self, tenant: str) -> bool:
        """Whether what this tenant has had is less than its share."""
        return self._had.get(tenant, 0) < self._allowance

    def count(self, tenant: str, cost: int) -> None:
        """So much of this tenant's has been served."""
        self._had[tenant] = self._had.get(tenant, 0) + cost
        self._served += cost

    def next_window(self) -> None:
        """Another one begins: everybody is owed a share more."""
        self._total += (self._served - self._total) / (_MEMORY if self._total else 1)
        self._served = 0
        share = self._total / max(1, len(self._had))
        self._allowance = BURST * share
        most = int(self._allowance + share)
        self._had = {tenant: left for tenant, had in self._had.items() if (left := int(min(had, most) - share)) > 0}
