"""How a replica comes to a filter: what it finds, what it has made, and when a bigger one takes its place."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lostid.domain.position import Position
from lostid.filter.generation import Generation
from lostid.filter.header import Malformed
from lostid.filter.page import Phase as Doing
from lostid.ledger import doc_keys
from lostid.ledger.entries import Entry
from lostid.replication import swap
from lostid.replication.host_filter import HostFilter
from lostid.replication.lease import Lease
from lostid.replication.rebuilding import Order, Rebuilding
from lostid.replication.staging import released
from lostid.replication.swap import Build
from lostid.replication.wire import Wire

log = logging.getLogger("lostid.replica")

LOAD_AGAIN_NS: Final = 1_000_000_000
GROW_AGAIN_NS: Final = 60_000_000_000  # a build that failed for want of memory is not tried again at once


@dataclass(frozen=True, slots=True)
class Carried:
    """What a build under way needs of an entry that was applied meanwhile."""

    seq: int
    prev: bytes
    hash: bytes
    keys: Sequence[bytes]
    rows_elsewhere: bool
    """It released an import: a filter that was read before may not have its rows."""


class Loader:
    """`load` until it says yes; then `carry` what is applied, and call `grow` now and then."""

    def __init__(self, host: HostFilter, run_dir: Path, capacity: int, environment: Mapping[str, str]) -> None:
        self._host, self._run_dir, self._capacity, self._environment = host, run_dir, capacity, environment
        self._candidate: tuple[Build, Generation] | None = None
        self._found = False
        self._searched = False
        self._work: Rebuilding | None = None
        self._carried: list[Carried] = []
        self._not_before_ns = 0

    @property
    def building(self) -> bool:
        return self._work is not None

    def wakes(self) -> list[Rebuilding]:
        return [self._work] if self._work is not None and not self._work.ended else []

    def progress(self) -> tuple[int, int]:
        """In percent; (0, 0) where nothing is being made."""
        return (int(self._work.share * 100), 100) if self._work is not None else (0, 0)

    def drop(self) -> None:
        """Whatever was found or is being made is not wanted any more."""
        if self._work is not None:
            self._work.close()
            self._host.remove(self._work.order.identity.gen)
        self._work, self._candidate, self._carried = None, None, []

    # -- from nothing --------------------------------------------------------------------------------------------------

    def load(self, wire: Wire, state: Lease, now_ns: int) -> bool:
        """True: a filter is shown, and its position is on the ledger's chain. Call again until then."""
        if not self._searched:
            self._searched, self._candidate = True, self._host.find()
            self._found = self._candidate is not None
        if self._candidate is None:
            self._make(now_ns)
        return self._candidate is not None and self._show(*self._candidate, wire, state, now_ns)

    def _show(self, build: Build, generation: Generation, wire: Wire, state: Lease, now_ns: int) -> bool:
        if not self._host.may_show(build, state, now_ns, found=self._found):
            return False
        with wire.call() as conn:
            on_chain = doc_keys.has(conn, build.position)
        if not on_chain:
            log.warning("filter %d is at entry %d of another chain", build.gen, build.position.seq)
            self._candidate = None
            return False
        # Key events up to the filter's position are not looked for: key caches are asked to be as new as all of it.
        self._host.show(build, generation)
        self._candidate = None
        log.info("filter %d of capacity %d, entry %d", build.gen, generation.sizing.capacity, build.position.seq)
        return True

    def _make(self, now_ns: int) -> None:
        if self._work is None:
            if now_ns >= self._not_before_ns:
                self._start(self._capacity, None)
            return
        self._work.look()
        self._host.page.report(Doing.REBUILDING, *self.progress())
        if self._work.built is not None:
            self._candidate, self._found = self._open(self._work.built), False
        if self._work.ended:
            self._again_after(LOAD_AGAIN_NS, now_ns)

    # -- from one that is full -----------------------------------------------------------------------------------------

    def carry(self, applied: Iterable[Entry]) -> None:
        """Everything applied while a build is under way goes into it too, before it is flipped to."""
        if self._work is not None:
            self._carried += [Carried(e.seq, e.prev, e.hash, e.keys, released(e) is not None) for e in applied]

    def grow(self, now_ns: int) -> None:
        """Order a generation of double capacity when this one is full; flip when it holds all that this one holds."""
        now, at = self._host.now, self._host.position
        if now is None or at is None:
            return
        if self._work is None:
            if self._host.full and now_ns >= self._not_before_ns:
                self._start(now.sizing.capacity * 2, at)
            return
        self._work.look()
        if self._work.failed:
            self._again_after(GROW_AGAIN_NS, now_ns)
        elif self._work.built is not None and at.seq >= self._work.built.position.seq:
            self._not_before_ns = now_ns + LOAD_AGAIN_NS
            self._flip(self._work.built)

    def _flip(self, built: Build) -> None:
        """`swap.carry` for each entry that came after the snapshot; the bits of all of them first."""
        opened = self._open(built)
        self._work, carried, self._carried = None, self._carried, []
        if opened is None:
            return
        build, generation = opened
        after = [entry for entry in carried if entry.seq > build.position.seq]
        if any(entry.rows_elsewhere for entry in after):
            log.warning("an import was released while filter %d was made; made again", build.gen)
            self._host.remove(build.gen)
            return
        generation.add_many(b"".join(key for entry in after for key in entry.keys))
        for entry in after:
            following = swap.carry(build, entry)
            if following is None:
                log.error("filter %d does not continue at entry %d; thrown away", build.gen, entry.seq)
                self._host.remove(build.gen)
                return
            build = following
        shown = self._host.page.position()
        if shown is None or not swap.may_flip(build, shown):
            log.error("filter %d is not where this host is; thrown away", build.gen)
            self._host.remove(build.gen)
            return
        self._host.flip(build, generation)
        log.info("filter %d of capacity %d takes over", build.gen, generation.sizing.capacity)

    # -- both ----------------------------------------------------------------------------------------------------------

    def _start(self, capacity: int, contains: Position | None) -> None:
        identity = self._host.identity(self._host.next_gen())
        order = Order(self._run_dir, identity, capacity, contains is None, contains)
        log.info("making filter %d of capacity %d", identity.gen, capacity)
        self._carried = []
        self._work = Rebuilding(order, self._environment)

    def _open(self, built: Build) -> tuple[Build, Generation] | None:
        try:
            return built, self._host.open(built)
        except (Malformed, OSError) as reason:
            log.error("filter %d cannot be used: %s", built.gen, reason)
            self._host.remove(built.gen)
            return None

    def _again_after(self, pause_ns: int, now_ns: int) -> None:
        self._work = None
        self._not_before_ns = now_ns + pause_ns
