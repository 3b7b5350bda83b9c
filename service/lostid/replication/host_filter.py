"""What a replica writes on its host: the page and the filter behind it. Knows no ledger.

The order of the writes is that of `apply.ORDER`; what may be shown when is decided by `swap`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from lostid.domain.position import Position
from lostid.filter.bloom import GROW_AT
from lostid.filter.generation import Generation, generations, path_of
from lostid.filter.header import Identity, Malformed
from lostid.filter.page import PageWriter
from lostid.replication import lease, swap
from lostid.replication.lease import Lease
from lostid.replication.swap import Build


class Keyed(Protocol):
    """An entry, as far as a filter is concerned."""

    @property
    def keys(self) -> Sequence[bytes]: ...


class HostFilter:
    """Exists once per host: the page's lock sees to it."""

    def __init__(self, page: PageWriter, run_dir: Path, key_id: bytes, boot: bytes, canaries: Iterable[bytes]) -> None:
        self.page = page
        self.canaries = tuple(canaries)
        self.now: Generation | None = None
        self.position: Position | None = None
        self._run_dir, self._key_id, self._boot = run_dir, key_id, boot

    # -- what an earlier replica left ----------------------------------------------------------------------------------

    def find(self) -> tuple[Build, Generation] | None:
        """The generation that is whole, and how far it is. Everything else that lies about is removed."""
        wanted = [self.page.gen] if self.page.gen else reversed(generations(self._run_dir))
        found = next(filter(None, map(self._whole, wanted)), None)
        self._remove_all_but(found[0].gen if found else 0)
        return found

    def _whole(self, gen: int) -> tuple[Build, Generation] | None:
        try:
            opened = Generation.open_writer(self._run_dir, self.identity(gen))
            opened.self_test(())
        except (FileNotFoundError, Malformed):
            return None
        position = (self.page.position() if self.page.gen == gen else None) or opened.counters.position()
        if position is None or not self._has_canaries(opened, position):
            return None
        return Build(gen, position), opened

    # -- loading and growing -------------------------------------------------------------------------------------------

    def identity(self, gen: int) -> Identity:
        return Identity(gen, self._key_id, self._boot)

    def next_gen(self) -> int:
        return max([self.page.gen, *generations(self._run_dir)]) + 1

    def open(self, build: Build) -> Generation:
        """Raises Malformed, FileNotFoundError: it is no use to anybody."""
        opened = Generation.open_writer(self._run_dir, self.identity(build.gen))
        if not self._has_canaries(opened, build.position):
            raise Malformed("a canary is not in the new filter")
        return opened

    def may_show(self, build: Build, state: Lease, now_ns: int, *, found: bool) -> bool:
        """At a load, see `swap.may_show`. Where a kill left the position torn, nobody knows what readers carry.

        `found`: the position is that of a file. Without a page of ours to compare it with, it may be an old one, while
        readers still carry a lease off a page that was removed. A snapshot taken since then is no older than that."""
        shown = self.page.position()
        if shown is None and (found or not self.page.blank):
            return lease.may_show_less(state, now_ns)
        return swap.may_show(build, shown, state, now_ns)

    def show(self, build: Build, generation: Generation) -> None:
        """Lease 0. Workers look up in this generation, at its own position, from now on."""
        if self.page.gen != build.gen or self.page.position() != build.position:
            self.page.show(build.gen, build.position)
        self.now, self.position = generation, build.position
        self._remove_all_but(build.gen)

    def flip(self, build: Build, generation: Generation) -> None:
        """While the host answers: the new generation holds just what the page says, see `swap.may_flip`."""
        generation.counters.note(build.position)
        self.page.flip(build.gen)
        self.now = generation
        self._remove_all_but(build.gen)

    # -- following -----------------------------------------------------------------------------------------------------

    def apply(self, accepted: Sequence[Keyed], position: Position, auth_seq: int | None) -> None:
        """Bits, auth_seq, position. RENEW comes after, and is not ours."""
        if self.now is None:
            raise RuntimeError("nothing is loaded")
        self.now.add_all(key for entry in accepted for key in entry.keys)
        if auth_seq is not None:
            self.page.set_auth_seq(auth_seq)
        self.page.publish(position)
        self.position = position

    @property
    def full(self) -> bool:
        """Time for a generation of double capacity."""
        return self.now is not None and self.now.bloom.fill() >= GROW_AT

    def sound(self) -> bool:
        """The canaries are where they were."""
        return self.now is None or self.position is None or self._has_canaries(self.now, self.position)

    def note(self) -> None:
        """Say in the filter's own header how far it is, for a start that finds no page."""
        if self.now is not None and self.position is not None:
            self.now.counters.note(self.position)

    def remove(self, gen: int) -> None:
        """A file that nobody may use."""
        path_of(self._run_dir, gen).unlink(missing_ok=True)

    def _has_canaries(self, generation: Generation, position: Position) -> bool:
        """They are reported by entry 1."""
        return position.seq < 1 or all(map(generation.contains, self.canaries))

    def _remove_all_but(self, gen: int) -> None:
        """Whoever still maps a removed file keeps its map; whoever wants to map it reads the page again."""
        for other in generations(self._run_dir):
            if other != gen:
                self.remove(other)
