"""Who is in a synthetic ledger: so many holders that checks can ask about, and keys of nobody for the rest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from lostid.domain.canonical import Canonical
from lostid.domain.documents import RESIDENT_ID
from lostid.domain.keys import Keyring
from lostid_load.population import Holder, number_of

KNOWN: Final = 20_000
"""The first documents of every synthetic ledger are those of numbers in area 990000; fewer where it is smaller."""
_FIRST: Final = 12_000_000
_NOBODY: Final = 20_000_000


def keys(keyring: Keyring, documents: int, at_once: int) -> Iterator[bytes]:
    """Document keys end to end. Those of nobody are random bytes, which is what a keyed hash looks like."""
    known = min(KNOWN, documents)
    for start in range(0, documents, at_once):
        count = min(at_once, documents - start)
        real = range(start, min(start + count, known))
        made = [keyring.key("live", Canonical(RESIDENT_ID, number_of(_FIRST + serial))) for serial in real]
        yield b"".join(made) + os.urandom(16 * (count - len(made)))


def holder(serial: int) -> Holder:
    """Of a replaced card, who now shows the new one: in the filter, and the exact answer is clear."""
    return Holder(number_of(_FIRST + serial), "replaced")


def nobody(serial: int) -> Holder:
    """Whose card was never reported."""
    return Holder(number_of(_NOBODY + serial), "unreported")
