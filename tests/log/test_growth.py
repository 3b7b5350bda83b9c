"""The tree that grows tile by tile is the tree of all its leaves."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lostid.log.growth import edge, grow
from lostid.log.merkle import leaf_hash, root, root_of_hashes
from lostid.log.tiles import TileSource


def leaves(start: int, count: int) -> list[bytes]:
    return [leaf_hash(i.to_bytes(4, "big")) for i in range(start, start + count)]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=6))
def test_growth_in_steps(steps: list[int]) -> None:
    """However the leaves arrive, the edge alone is enough to go on, and the root is that of all leaves."""
    stored: dict[tuple[int, int], bytes] = {}
    size = 0
    for step in steps:
        at_hand = {name: stored[name] for name in edge(size) if name in stored}
        changed = grow(at_hand, size, leaves(size, step))
        stored |= changed
        size += step
        assert root(TileSource({**at_hand, **changed}), size) == root_of_hashes(leaves(0, size))
        assert root(TileSource({name: stored[name] for name in edge(size) if name in stored}), size) == root_of_hashes(
            leaves(0, size)
        )


def test_altered_edge() -> None:
    """A tile that does not end where the tree does is not built upon."""
    stored = grow({}, 0, leaves(0, 10))
    with pytest.raises(ValueError, match="does not end"):
        grow(stored, 9, leaves(9, 1))
