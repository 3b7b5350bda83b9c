"""The digest of a set of records: what two sides compare to know that they hold the same (docs/decisions/0014).

The sum, modulo 2**128, of a keyed hash of each (place, record). A member is added or taken away without looking at the
others, and in any order. The sums are secret: whoever knew what single members add could make two sets agree.
"""

from collections.abc import Iterable
from functools import partial
from hashlib import blake2b
from typing import Final

DIGEST_BYTES: Final = 16
PLACE_BYTES: Final = 12
"""The part of a document key that names a record's place in the registry: its bucket and its field."""
MODULUS: Final = 1 << (8 * DIGEST_BYTES)

_hash = partial(blake2b, digest_size=DIGEST_BYTES, person=b"lostid.set.1")


class SetDigest:
    """Sums over records. ``key``: 32 bytes that neither Redis nor the ledger knows."""

    def __init__(self, key: bytes) -> None:
        self._keyed = _hash(key=key)

    def of(self, place: bytes, value: bytes | None) -> int:
        """What one record adds; nothing where there is none. ``place``: the first 12 bytes of the document key."""
        if value is None:
            return 0
        made = self._keyed.copy()
        made.update(place)
        made.update(value)
        return int.from_bytes(made.digest())

    def of_all(self, records: Iterable[tuple[bytes, bytes]]) -> int:
        return sum([self.of(place, value) for place, value in records]) % MODULUS
