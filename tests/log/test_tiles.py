"""Tiles as C2SP tlog-tiles defines them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lostid.log.tiles import ENTRIES, TileName, is_available, pack_bundle, parse_path, tiles_of, unpack_bundle


def test_path_of_the_specification() -> None:
    """Index 1234067 is encoded as x001/x234/067."""
    assert TileName(0, 1_234_067).path == "0/x001/x234/067"
    assert TileName(ENTRIES, 5, 17).path == "entries/005.p/17"


def test_tiles_of_the_specification() -> None:
    """A tree of 70,000 has 273 full and one partial tile of 112, one full and one partial of 17, one partial of 1."""
    tiles = list(tiles_of(70_000))
    assert len(tiles) == 273 + 1 + 1 + 1 + 1
    assert TileName(0, 273, 112) in tiles
    assert [tile for tile in tiles if tile.level] == [TileName(1, 0), TileName(1, 1, 17), TileName(2, 0, 1)]
    assert list(tiles_of(256)) == [TileName(0, 0), TileName(1, 0, 1)]
    assert all(is_available(tile, 70_000) for tile in tiles)
    assert not is_available(TileName(0, 273, 113), 70_000)


@given(level=st.integers(-1, 63), index=st.integers(0, 10**10), width=st.integers(1, 256))
def test_path_round_trip(level: int, index: int, width: int) -> None:
    """Each name has one path and each path one name."""
    name = TileName(level, index, width)
    assert parse_path(name.path) == name


@pytest.mark.parametrize(
    "path",
    ["", "0", "0/", "0/1", "00/001", "64/001", "0/x000/001", "0/001.p/0", "0/001.p/256", "0/001.p/01", "0/x001/x234",
     "-1/001", "entries/1", "../0/001", "0/001/", "0/00\u0661", "0/001.p/1\n"],
)  # fmt: skip
def test_other_spellings(path: str) -> None:
    """Anything that is not exactly a tile's path names no tile."""
    assert parse_path(path) is None


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_bundle_round_trip(entries: list[bytes]) -> None:
    """A bundle gives back its entries."""
    assert unpack_bundle(pack_bundle(entries)) == entries


def test_bundle_cut_short() -> None:
    """A bundle that ends in the middle of an entry is refused."""
    for cut in (1, 2, 3):
        with pytest.raises(ValueError, match="middle"):
            unpack_bundle(pack_bundle([b"abc"])[:-cut])
