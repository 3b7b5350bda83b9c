"""A `pybloom_live.BloomFilter` laid over memory that somebody else owns.

The library gives the structure (partitioned slices, sizing); three things are ours:

* the bits lie in a buffer (a mapped file), so that all workers of a host look at one copy;
* the positions come from the document key itself. It is a keyed 128-bit hash already, so hashing it again buys nothing:
  slice i is probed at (h1 + i * h2) mod m, h1 and h2 being its two 64-bit halves. Two keys share all positions with a
  probability of 1 in m squared: 0.5 / capacity on top of the error rate, which matters below some 10,000 keys only;
* a full filter takes further keys. The library refuses them, which would be a false negative; here the error rate grows
  until a filter of double capacity has replaced this one.

Bits are only ever set. A reader in another process therefore never misses a key whose `add` returned before it looked.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from bitarray import bitarray
from pybloom_live import BloomFilter

KEY_BYTES: Final = 16
ERROR_RATE: Final = 1e-4
GROW_AT: Final = 0.8
"""The share of its capacity at which a filter is replaced by one of double capacity."""

_CHUNK: Final = 65_536  # keys per numpy round: positions of one slice stay in the second-level cache
_HALVES: Final = struct.Struct("<QQ")
_SMALL_PRIMES: Final = 2 * 3 * 5 * 7 * 11 * 13
_MASKS: Final[npt.NDArray[np.uint8]] = np.left_shift(np.uint8(1), np.arange(8, dtype=np.uint8))

Contains = Callable[[bytes], bool]


@dataclass(frozen=True, slots=True)
class Sizing:
    """How many slices of how many bits. Stored in the file's header: never recomputed for a file that exists."""

    capacity: int
    error_rate: float
    slices: int
    bits_per_slice: int

    @classmethod
    def of(cls, capacity: int, error_rate: float = ERROR_RATE) -> Sizing:
        """pybloom's formula, and then up to the next m that shares no factor with a difference of slice numbers.

        Otherwise a key whose h2 differs from another's by such a factor would meet it in several slices at once.
        """
        if capacity < 1 or not 0 < error_rate < 1:
            raise ValueError("capacity must be at least 1, error rate between 0 and 1")
        slices = math.ceil(math.log2(1 / error_rate))
        bits = math.ceil(capacity * abs(math.log(error_rate)) / (slices * math.log(2) ** 2))
        while math.gcd(bits, _SMALL_PRIMES) != 1:
            bits += 1
        return cls(capacity, error_rate, slices, bits)

    @property
    def bits(self) -> int:
        return self.slices * self.bits_per_slice

    @property
    def bytes(self) -> int:
        """Room for the bits, in whole 8-byte words."""
        return (self.bits + 63) // 64 * 8


class MappedBloom(BloomFilter):  # type: ignore[misc]  # the base class carries no types
    """The filter over `buffer`; read-only when the buffer is. `count` and `bits_set` go on from what was noted."""

    bitarray: bitarray
    capacity: int
    count: int

    def __init__(self, buffer: memoryview, sizing: Sizing, count: int = 0, bits_set: int = 0) -> None:
        if buffer.nbytes < sizing.bytes:
            raise ValueError("the buffer is smaller than the filter")
        self._setup(sizing.error_rate, sizing.slices, sizing.bits_per_slice, sizing.capacity, count)
        self.make_hashes = self._positions
        self.sizing = sizing
        self.bits_set = bits_set
        self.bitarray = bitarray(buffer=buffer[: sizing.bytes], endian="little")
        self.contains: Contains = _specialised(self.bitarray, sizing)
        self._octets: npt.NDArray[np.uint8] = np.frombuffer(buffer[: sizing.bytes], dtype=np.uint8)

    def _positions(self, key: bytes) -> Iterator[int]:
        """The contract with the library: one position per slice, relative to the slice."""
        first, second = _HALVES.unpack(key)
        size = self.sizing.bits_per_slice
        return ((first + i * second) % size for i in range(self.sizing.slices))

    def add(self, key: bytes, skip_check: bool = False) -> bool:
        """True if the key was (or seemed to be) there already. Never refuses."""
        bits, offset, fresh = self.bitarray, 0, 0
        for position in self._positions(key):
            if not bits[offset + position]:
                bits[offset + position] = 1
                fresh += 1
            offset += self.sizing.bits_per_slice
        self.bits_set += fresh
        self.count += fresh > 0
        return fresh == 0

    def add_many(self, keys: bytes | memoryview, *, recount: bool = True) -> int:
        """Add keys given end to end; returns how many were new. A key twice in one call may count twice.

        Without `recount` the set bits are not counted (milliseconds per 10 million keys); the caller will see to it.
        """
        fresh = 0
        for chunk in _chunks(keys):
            fresh += len(chunk) - int(self._found(chunk).sum())
            for position in self._slices(chunk):
                self._set(position)
        self.count += fresh
        if recount:
            self.bits_set = self.popcount()
        return fresh

    def contains_many(self, keys: bytes | memoryview) -> npt.NDArray[np.bool_]:
        """One answer per key, in order; the same as `contains` for each."""
        parts = [self._found(chunk) for chunk in _chunks(keys)]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.bool_)

    def popcount(self) -> int:
        """The bits that are set, counted."""
        return self.bitarray.count()

    def fill(self) -> float:
        """How full, as a share of capacity, judged by the bits: they, not the count, decide the error rate."""
        empty = 1 - self.bits_set / self.sizing.bits
        return math.inf if empty <= 0 else -math.log(empty) * self.sizing.bits_per_slice / self.capacity

    def _slices(self, halves: npt.NDArray[np.uint64]) -> Iterator[npt.NDArray[np.int64]]:
        """For each slice the absolute positions of all keys."""
        size = np.uint64(self.sizing.bits_per_slice)
        at, step = halves[:, 0] % size, halves[:, 1] % size
        for i in range(self.sizing.slices):
            yield (at + np.uint64(i) * size).view(np.int64)
            at += step
            np.minimum(at, at - size, out=at)  # below size, the difference wraps round and is larger: at mod size

    def _found(self, halves: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Slice by slice, with only those keys that have had every bit so far."""
        size = np.uint64(self.sizing.bits_per_slice)
        found = np.zeros(len(halves), dtype=np.bool_)
        left = np.arange(len(halves))
        at, step = halves[:, 0] % size, halves[:, 1] % size
        for i in range(self.sizing.slices):
            position = (at + np.uint64(i) * size).view(np.int64)
            kept = np.flatnonzero(self._octets[position >> 3] & _MASKS[position & 7])
            left, step = left[kept], step[kept]
            at = at[kept] + step
            np.minimum(at, at - size, out=at)
        found[left] = True
        return found

    def _set(self, position: npt.NDArray[np.int64]) -> None:
        """Set bits, several of which may lie in one byte.

        A plain `octets[at] |= mask` keeps the last of those; the others are found missing and set in another round.
        A bit that was set before the call stays set throughout: every store holds at least the old byte.
        """
        at, mask = position >> 3, _MASKS[position & 7]
        while at.size:
            self._octets[at] |= mask
            lost = np.flatnonzero((self._octets[at] & mask) == 0)
            at, mask = at[lost], mask[lost]

    def __getstate__(self) -> Any:
        raise TypeError("a mapped filter is shared by its file, not by pickling")


def _chunks(keys: bytes | memoryview) -> Iterator[npt.NDArray[np.uint64]]:
    halves = np.frombuffer(keys, dtype="<u8").reshape(-1, 2)
    for start in range(0, len(halves), _CHUNK):
        yield halves[start : start + _CHUNK]


def _specialised(bits: bitarray, sizing: Sizing) -> Contains:
    """`key in filter` for the hot path: everything constant is bound, and the first slices are written out.

    At the fill where a filter is replaced (43 % of the bits) two thirds of the misses end at the second probe.
    """
    unpack, size = _HALVES.unpack, sizing.bits_per_slice
    if sizing.slices < 3:
        raise ValueError("a filter has at least 3 slices")
    second, third, *others = (i * size for i in range(1, sizing.slices))
    rest = tuple(others)

    def contains(key: bytes) -> bool:
        at, step = unpack(key)
        at %= size
        if not bits[at]:
            return False
        step %= size
        at += step
        if not bits[second + at % size]:
            return False
        at += step
        if not bits[third + at % size]:
            return False
        for offset in rest:
            at += step
            if not bits[offset + at % size]:
                return False
        return True

    return contains
