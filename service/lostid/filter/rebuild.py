"""Filling a new generation: keys in chunks, from whoever has them (ledger or Redis), into a file that is big enough."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from lostid.domain.position import Position
from lostid.filter.bloom import GROW_AT, Sizing
from lostid.filter.generation import Generation, path_of
from lostid.filter.header import Identity

Step = Callable[[float], None]
"""Told the share of the source that has been taken in, 0 to 1."""

_ROOM = 1.05  # what is estimated may be a little short, and entries go on arriving


def capacity_for(start: int, documents: int) -> int:
    """`start`, doubled until so many documents leave it well below the fill at which it would be replaced."""
    capacity = start
    while capacity * GROW_AT < documents * _ROOM:
        capacity *= 2
    return capacity


def rebuild(
    run_dir: Path,
    identity: Identity,
    capacity: int,
    position: Position,
    source: Callable[[], Iterable[tuple[float, bytes]]],
    step: Step,
) -> Generation:
    """A complete generation that holds every key of `source`, all of one snapshot at `position`.

    `source()` gives (share done so far, keys end to end) and may be asked again: a file that turns out too small is
    thrown away, which nobody can have mapped, and begun again with twice the capacity.
    """
    while True:
        generation = Generation.create(run_dir, identity, Sizing.of(capacity))
        try:
            if _fill(generation, source(), step):
                generation.complete(position)
                return generation
        except BaseException:
            path_of(run_dir, identity.gen).unlink(missing_ok=True)
            raise
        path_of(run_dir, identity.gen).unlink()
        capacity *= 2


def _fill(generation: Generation, chunks: Iterable[tuple[float, bytes]], step: Step) -> bool:
    """False: too full to begin with."""
    bloom, full = generation.bloom, generation.sizing.capacity * GROW_AT
    for share, keys in chunks:
        bloom.add_many(keys, recount=False)
        if bloom.count >= full:
            return False
        step(share)
    return True
