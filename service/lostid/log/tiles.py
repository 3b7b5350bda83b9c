"""Tiles: how the tree is stored and published (C2SP tlog-tiles).

A tile at level l, index n holds up to 256 hashes, MTH(D[(n*256+i) * 256**l : (n*256+i+1) * 256**l]). A full tile never
changes; only the rightmost one of each level is partial, and it is never hashed into the level above.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lostid.log.merkle import HASH_BYTES, TILE_HEIGHT, TILE_WIDTH, root_of_hashes

_PATH = re.compile(r"(entries|[0-9]|[1-5][0-9]|6[0-3])/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII)

ENTRIES = -1
"""The level that stands for entry bundles in a ``TileName``."""


@dataclass(frozen=True, slots=True, order=True)
class TileName:
    """One tile or entry bundle: ``width`` hashes (or entries), 256 when full."""

    level: int
    index: int
    width: int = TILE_WIDTH

    @property
    def start(self) -> int:
        """Index of its first hash (or entry) within its level."""
        return self.index * TILE_WIDTH

    @property
    def path(self) -> str:
        """The path behind ``tile/``; index 1234067 is ``x001/x234/067``."""
        digits = f"{self.index:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[i : i + 3] for i in range(0, len(digits), 3)]
        index = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
        level = "entries" if self.level == ENTRIES else str(self.level)
        return f"{level}/{index}" + ("" if self.width == TILE_WIDTH else f".p/{self.width}")


def parse_path(path: str) -> TileName | None:
    """Read what ``TileName.path`` wrote; None for anything that is not exactly one such path."""
    match = _PATH.fullmatch(path)
    if match is None:
        return None
    level, index, width = match.groups()
    name = TileName(
        ENTRIES if level == "entries" else int(level),
        int(index.replace("/", "").replace("x", "")),
        int(width) if width else TILE_WIDTH,
    )
    # Only the canonical spelling names a tile: no leading x000 group, no width of 256 and more.
    return name if name.path == path and (width is None or name.width < TILE_WIDTH) else None


def tiles_of(size: int) -> Iterator[TileName]:
    """All hash tiles of a tree of ``size`` leaves, level by level."""
    level, count = 0, size
    while count:
        full, rest = divmod(count, TILE_WIDTH)
        yield from (TileName(level, index) for index in range(full))
        if rest:
            yield TileName(level, full, rest)
        level, count = level + 1, full


def is_available(name: TileName, size: int) -> bool:
    """Whether a tree of ``size`` leaves has hashes for all of that tile."""
    level = max(name.level, 0)
    return name.width > 0 and name.start + name.width <= size >> (TILE_HEIGHT * level)


def hash_above(tile: bytes) -> bytes:
    """The hash that a full tile has in the level above."""
    if len(tile) != TILE_WIDTH * HASH_BYTES:
        raise ValueError("a partial tile is never hashed into the level above")
    return root_of_hashes(split_tile(tile))


def split_tile(tile: bytes) -> list[bytes]:
    """The hashes of a tile in order.

    Raises:
        ValueError: its length is not a multiple of a hash.
    """
    if len(tile) % HASH_BYTES:
        raise ValueError("a tile is a sequence of whole hashes")
    return [tile[i : i + HASH_BYTES] for i in range(0, len(tile), HASH_BYTES)]


class TileSource:
    """A ``HashSource`` over tiles at hand: (level, index) -> the bytes of that tile, as full as there is."""

    def __init__(self, tiles: Mapping[tuple[int, int], bytes]) -> None:
        self._tiles = tiles

    def hashes(self, level: int, start: int, count: int) -> Sequence[bytes]:
        """See ``HashSource``.

        Raises:
            KeyError: that tile is not there.
            ValueError: that tile is shorter than asked for.
        """
        index, offset = divmod(start, TILE_WIDTH)
        tile = self._tiles[level, index]
        part = tile[offset * HASH_BYTES : (offset + count) * HASH_BYTES]
        if len(part) != count * HASH_BYTES:
            raise ValueError(f"tile {level}/{index} is shorter than the tree needs")
        return split_tile(part)


def pack_bundle(entries: Sequence[bytes]) -> bytes:
    """An entry bundle: each entry behind its length, 16 bits big-endian.

    Raises:
        OverflowError: an entry is longer than 65,535 bytes.
    """
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def unpack_bundle(bundle: bytes) -> list[bytes]:
    """Read what ``pack_bundle`` wrote.

    Raises:
        ValueError: it ends in the middle of an entry.
    """
    entries, at = [], 0
    while at < len(bundle):
        end = at + 2 + int.from_bytes(bundle[at : at + 2], "big")
        if end > len(bundle) or at + 2 > len(bundle):
            raise ValueError("the bundle ends in the middle of an entry")
        entries.append(bundle[at + 2 : end])
        at = end
    return entries
