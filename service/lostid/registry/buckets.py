"""Which bucket of Redis a record lies in. Many small hashes cost a third of the memory of as many keys."""

from dataclasses import dataclass
from typing import Final

from lostid.registry.keys import BUCKET

MIN_BITS: Final = 8
MAX_BITS: Final = 24
FULL_AT_FILL: Final = 128
"""Records in a bucket, at most on average, when the registry is filled: 64 to 128, doubling by doubling."""
OVERFULL: Final = 200
"""Records in a bucket on average from which the registry is filled anew with more buckets. Single buckets then hold
about 270, which is why the server's hash-max-listpack-entries should not be below 256."""
FIELD_END: Final = 12
"""Where the field ends in the document key. 96 bits tell records apart; the tag in the record is over the whole key."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The first ``bits`` bits of a document key name its bucket."""

    bits: int

    def bucket(self, key: bytes) -> bytes:
        return BUCKET + (int.from_bytes(key[:3]) >> (24 - self.bits)).to_bytes(3)

    def field(self, key: bytes) -> bytes:
        return key[slice(*self.field_bounds)]

    @property
    def field_bounds(self) -> tuple[int, int]:
        """From where to where in a document key the field is."""
        return self.bits // 8, FIELD_END

    @property
    def buckets(self) -> int:
        """How many there are."""
        return 1 << self.bits

    def index(self, key: bytes) -> int:
        """The number of the bucket in which a key's record lies."""
        return int.from_bytes(key[:3]) >> (24 - self.bits)

    def name(self, index: int) -> bytes:
        """The bucket's name in Redis."""
        return BUCKET + index.to_bytes(3)

    def bounds(self, index: int) -> tuple[bytes, bytes]:
        """The first and the last document key whose records lie in a bucket."""
        rest = 128 - self.bits
        return (index << rest).to_bytes(16), (((index + 1) << rest) - 1).to_bytes(16)

    def place(self, index: int, field: bytes) -> bytes | None:
        """The first 12 bytes of the document key of a record; None for a field that no key has in this bucket."""
        whole = self.bits // 8
        place = (index << (24 - self.bits)).to_bytes(3)[:whole] + field
        return place if len(place) == FIELD_END and self.index(place) == index else None


def layout_for(count: int) -> Layout:
    """The layout with which to fill in ``count`` records."""
    bits = MIN_BITS
    while count > FULL_AT_FILL << bits and bits < MAX_BITS:
        bits += 1
    return Layout(bits)


def overfull(count: int, bits: int) -> bool:
    """Is it time to fill the registry anew with more buckets?"""
    return count > OVERFULL << bits and bits < MAX_BITS
