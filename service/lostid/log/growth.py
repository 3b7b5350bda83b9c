"""How the tree grows: new leaf hashes onto the tiles of its right edge. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lostid.log.merkle import HASH_BYTES, TILE_HEIGHT, TILE_WIDTH
from lostid.log.tiles import hash_above

Tiles = Mapping[tuple[int, int], bytes]
"""(level, index) -> the tile's hashes, as far as there are any."""

_LEVELS = 64 // TILE_HEIGHT


def edge(size: int) -> list[tuple[int, int]]:
    """The tiles that a root over ``size`` leaves needs, and that grow next: the last one of each level."""
    names = []
    for level in range(_LEVELS):
        count = size >> (TILE_HEIGHT * level)
        names.append((level, count // TILE_WIDTH))
        if count and count % TILE_WIDTH == 0:
            names.append((level, count // TILE_WIDTH - 1))
        if not count:
            break
    return names


def grow(tiles: Tiles, size: int, leaves: Sequence[bytes]) -> dict[tuple[int, int], bytes]:
    """The tiles that change when ``leaves`` (hashes) follow the first ``size``, with what they hold then.

    Raises:
        ValueError: a tile of the edge does not hold what a tree of ``size`` leaves has there.
    """
    changed: dict[tuple[int, int], bytearray] = {}
    level, hashes = 0, list(leaves)
    while hashes:
        first = size >> (TILE_HEIGHT * level)
        above = []
        for place, hash_ in enumerate(hashes, start=first):
            name = (level, place // TILE_WIDTH)
            tile = changed.get(name)
            if tile is None:
                tile = changed[name] = bytearray(tiles.get(name, b""))
            if len(tile) != place % TILE_WIDTH * HASH_BYTES:
                raise ValueError(f"tile {level}/{name[1]} does not end where a tree of {size} leaves does")
            tile += hash_
            if len(tile) == TILE_WIDTH * HASH_BYTES:
                above.append(hash_above(bytes(tile)))
        level, hashes = level + 1, above
    return {name: bytes(tile) for name, tile in changed.items()}
