"""The ledger's side of the comparison: what the digest of each bucket of the registry should be. Pure.

A bucket is *known* from when its sum was made from the ledger's records (or from Redis's, where the totals then agree);
from then on entries move it, and Redis is never asked what it should be. ``total`` is the sum over all records, and
moves whether or not single buckets are known.
"""

from typing import Final

from lostid.registry.buckets import Layout
from lostid.registry.digest import DIGEST_BYTES, MODULUS

FINGERPRINT_BYTES: Final = 20
_UNSEEN: Final = bytes(FINGERPRINT_BYTES)


class Books:
    """Of one layout. 37 bytes for each bucket."""

    def __init__(self, layout: Layout, total: int | None) -> None:
        self.layout = layout
        self.total = total
        self._sums = bytearray(DIGEST_BYTES << layout.bits)
        self._known = bytearray(1 << layout.bits)
        self._seen = bytearray(FINGERPRINT_BYTES << layout.bits)

    @property
    def complete(self) -> bool:
        """Every bucket is known."""
        return 0 not in self._known

    def knows(self, bucket: int) -> bool:
        return bool(self._known[bucket])

    def sum(self, bucket: int) -> int:
        return int.from_bytes(self._sums[bucket * DIGEST_BYTES : (bucket + 1) * DIGEST_BYTES])

    def sum_of_all(self) -> int:
        return sum(self.sum(bucket) for bucket in range(len(self._known))) % MODULUS

    def learn(self, bucket: int, digest: int) -> None:
        """The bucket's sum, as of the entry that these books are at."""
        self._sums[bucket * DIGEST_BYTES : (bucket + 1) * DIGEST_BYTES] = (digest % MODULUS).to_bytes(DIGEST_BYTES)
        self._known[bucket] = 1

    def move(self, bucket: int, before: int, after: int) -> None:
        """An entry changed a record of this bucket: what it added before, and what it adds now."""
        if self.total is not None:
            self.total = (self.total + after - before) % MODULUS
        if self._known[bucket]:
            self.learn(bucket, self.sum(bucket) + after - before)
        self.doubt(bucket)

    def forget(self) -> None:
        """Believe in no bucket; the total stands."""
        for kept in (self._sums, self._known, self._seen):
            kept[:] = bytes(len(kept))

    # -- what Redis's buckets looked like when they were right ---------------------------------------------------------

    def seen(self, first: int, end: int) -> bytes:
        """The fingerprints of buckets ``first`` to ``end``, end to end; zeros where a bucket has to be read."""
        return bytes(self._seen[first * FINGERPRINT_BYTES : end * FINGERPRINT_BYTES])

    def right(self, bucket: int, fingerprint: bytes) -> None:
        self._seen[bucket * FINGERPRINT_BYTES : (bucket + 1) * FINGERPRINT_BYTES] = fingerprint

    def doubt(self, bucket: int) -> None:
        self.right(bucket, _UNSEEN)
