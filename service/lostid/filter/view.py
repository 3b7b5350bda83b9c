"""What a worker looks up in: the page, and the generation that the page names.

The order on the hot path (invariant I4), for one check or one batch:

    until = view.slots[LEASE_UNTIL]         # 1. the lease, before anything that it vouches for
    contains = view.current()               # 2. the generation, re-read each time
    maybe = contains(key)                   # 3. the look-up;  if maybe: view.page.position() and the exact answer
    ok = boottime_ns() < until              # 4. the clock last, against the lease read first
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from lostid.filter.bloom import Contains
from lostid.filter.generation import Generation
from lostid.filter.header import Identity, Malformed
from lostid.filter.page import PageReader, Slot, Unproven

LEASE_UNTIL: Final = Slot.LEASE_UNTIL
_GEN: Final = Slot.GEN
_TRIES: Final = 5


class FilterView:
    """One per worker. Follows the page from generation to generation."""

    page: PageReader
    slots: memoryview
    generation: Generation

    def __init__(self, run_dir: Path, key_id: bytes, boot: bytes) -> None:
        """Raises Unproven when there is no believable page. The filter itself may come later."""
        self._run_dir, self._key_id, self._boot = run_dir, key_id, boot
        self._take_page()

    def current(self) -> Contains:
        """The look-up in the generation that the page names now. Raises Unproven when there is none."""
        if self.slots[_GEN] == self._gen:
            return self._contains
        return self._follow()

    def refresh(self) -> None:
        """Once a second, off the hot path: take up a page that was replaced under its name. Raises Unproven."""
        if not self.page.is_current():
            self._take_page()

    def _take_page(self) -> None:
        self.page = PageReader(self._run_dir, self._key_id, self._boot)
        self.slots = self.page.slots
        self._gen = -1  # equals no generation's number: the first look-up maps one
        self._contains: Contains = _no_filter

    def _follow(self) -> Contains:
        """A generation may be replaced again, and its file be gone, before we have mapped it: read the page again."""
        for _ in range(_TRIES):
            gen = self.slots[_GEN]
            if not gen:
                break
            try:
                generation = Generation.open_reader(self._run_dir, Identity(gen, self._key_id, self._boot))
            except FileNotFoundError:
                continue
            except Malformed as reason:
                raise Unproven(f"filter {gen}: {reason}") from reason
            self.generation, self._contains, self._gen = generation, generation.contains, gen
            return self._contains
        raise Unproven("no filter is loaded")


def _no_filter(key: bytes) -> bool:
    raise Unproven("no filter is mapped")
