"""APPLY: how a copy moves along the chain, one entry after the other and never over a gap.

The order of a replica's writes is `ORDER`: a reader that sees a position finds every bit and every key event up to
it, and a lease is asked for only after all of that is visible.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from lostid.replication.rules import Link, Position

E = TypeVar("E", bound=Link)


class Write(Enum):
    BITS = "bits of all keys"
    AUTH_SEQ = "auth_seq"
    POSITION = "(seq, hash), under the seqlock"
    RENEW = "renew"


ORDER = (Write.BITS, Write.AUTH_SEQ, Write.POSITION, Write.RENEW)


@dataclass(frozen=True, slots=True)
class Accept(Generic[E]):
    """Apply ``entries`` in `ORDER`; the copy is then at ``position``."""

    entries: tuple[E, ...]
    position: Position


@dataclass(frozen=True, slots=True)
class Reload:
    """What came does not continue what we hold: the lease is zeroed and the copy loaded anew."""

    position: Position


def accept(position: Position, entry: E) -> Accept[E] | Reload:
    """The next entry has seq + 1, and prev is our own hash."""
    if entry.seq != position.seq + 1 or entry.prev != position.hash:
        return Reload(position)
    return Accept((entry,), Position(entry.seq, entry.hash))


def accept_batch(position: Position, entries: Sequence[E]) -> Accept[E] | Reload:
    """All of them or none: one entry that does not fit spoils the batch, for it shows that the chain is not ours."""
    at = position
    for entry in entries:
        step = accept(at, entry)
        if isinstance(step, Reload):
            return Reload(position)
        at = step.position
    return Accept(tuple(entries), at)
