"""The filter's bits: never a false negative, and few enough false positives."""

import math
import random

import pytest
from bitarray import bitarray
from hypothesis import given
from hypothesis import strategies as st
from pybloom_live import BloomFilter

from lostid.filter.bloom import ERROR_RATE, GROW_AT, MappedBloom, Sizing

some_keys = st.lists(st.binary(min_size=16, max_size=16), min_size=1, max_size=60)


def bloom(capacity: int = 1_000, error_rate: float = ERROR_RATE) -> MappedBloom:
    sizing = Sizing.of(capacity, error_rate)
    return MappedBloom(memoryview(bytearray(sizing.bytes)), sizing)


def random_keys(count: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(16 * count)


def split(keys: bytes) -> list[bytes]:
    return [keys[at : at + 16] for at in range(0, len(keys), 16)]


@given(some_keys, some_keys)
def test_no_false_negative(one_by_one: list[bytes], together: list[bytes]) -> None:
    """Every key that was added, by either road, is found by every road."""
    f = bloom()
    for key in one_by_one:
        f.add(key)
    f.add_many(b"".join(together))
    everything = one_by_one + together
    assert all(key in f for key in everything)
    assert all(map(f.contains, everything))
    assert f.contains_many(b"".join(everything)).all()


@given(some_keys, some_keys)
def test_roads_agree(added: list[bytes], asked: list[bytes]) -> None:
    """The library's look-up, the specialised one and the vectorised one give the same answer, hit or miss."""
    f = bloom(capacity=20)  # small: half of what is asked collides
    f.add_many(b"".join(added))
    slow = [key in f for key in asked]
    assert slow == list(map(f.contains, asked))
    assert slow == f.contains_many(b"".join(asked)).tolist()


@given(some_keys)
def test_same_bits(keys: list[bytes]) -> None:
    """Adding one by one and adding together set exactly the same bits, and count them alike."""
    single, many = bloom(100), bloom(100)
    for key in keys:
        single.add(key)
    many.add_many(b"".join(keys))
    assert single.bitarray == many.bitarray
    assert single.bits_set == many.bits_set == single.popcount()


def test_error_rate() -> None:
    """Of foreign keys, 1 in 10,000 is taken for a member by a full filter, far fewer where it is replaced."""
    capacity = 100_000
    f = bloom(capacity)
    keys = random_keys(capacity, seed=1)
    foreign = random_keys(1_000_000, seed=2)
    f.add_many(keys[: int(capacity * GROW_AT) * 16])
    assert f.fill() == pytest.approx(GROW_AT, abs=0.01)
    assert f.contains_many(foreign).mean() <= ERROR_RATE / 3
    f.add_many(keys)
    assert f.contains_many(foreign).mean() == pytest.approx(ERROR_RATE, rel=0.3)


def test_size() -> None:
    """At the fill where it is replaced a record has cost at most 24 bits."""
    for capacity in (1_000_000, 10_000_000, 150_000_000):
        assert Sizing.of(capacity).bytes * 8 / (capacity * GROW_AT) <= 24


def test_library_sizing() -> None:
    """As many slices as the library has, and hardly more bits than it."""
    for capacity in (1_000, 12_345, 1_000_000):
        ours, theirs = Sizing.of(capacity), BloomFilter(capacity, ERROR_RATE)
        assert ours.slices == theirs.num_slices == 14
        assert theirs.bits_per_slice <= ours.bits_per_slice < theirs.bits_per_slice + 30
        assert math.gcd(ours.bits_per_slice, math.lcm(*range(1, ours.slices))) == 1


def test_overfull() -> None:
    """A filter that is full goes on taking keys: the library would refuse them, and lose a report."""
    f = bloom(capacity=100)
    keys = split(random_keys(1_000, seed=3))
    for key in keys:
        f.add(key)
    assert all(map(f.contains, keys))
    assert f.fill() > 1
    assert f.count <= 1_000


def test_add_twice() -> None:
    """Applying a key again says so, and changes neither bits nor counts."""
    f = bloom()
    assert not f.add(b"k" * 16)
    before = f.bitarray.copy(), f.count, f.bits_set
    assert f.add(b"k" * 16)
    assert f.add_many(b"k" * 16) == 0
    assert (f.bitarray, f.count, f.bits_set) == before


def test_bits_stay() -> None:
    """Bits that share a byte are all set, and those set before stay: chunks of keys that collide everywhere."""
    sizing = Sizing.of(8)
    f = MappedBloom(memoryview(bytearray(sizing.bytes)), sizing)
    seen = bitarray(len(f.bitarray), endian="little")
    for seed in range(50):
        keys = random_keys(3, seed)
        f.add_many(keys)
        assert (seen & f.bitarray) == seen
        assert f.contains_many(keys).all()
        seen = f.bitarray.copy()


def test_read_only() -> None:
    """Over a read-only buffer nothing can be set, by neither road."""
    sizing = Sizing.of(100)
    f = MappedBloom(memoryview(bytes(sizing.bytes)), sizing)
    with pytest.raises((TypeError, ValueError)):
        f.add(b"k" * 16)
    with pytest.raises((TypeError, ValueError)):
        f.add_many(b"k" * 16)
    assert not f.contains(b"k" * 16)


def test_related_keys() -> None:
    """Keys that share half of their bits fill the filter no worse than others."""
    f = bloom(capacity=100_000)
    rng = random.Random(4)
    half = rng.randbytes(8)
    f.add_many(b"".join(half + rng.randbytes(8) for _ in range(40_000)))
    f.add_many(b"".join(rng.randbytes(8) + half for _ in range(40_000)))
    assert f.contains_many(random_keys(500_000, seed=5)).mean() <= ERROR_RATE
