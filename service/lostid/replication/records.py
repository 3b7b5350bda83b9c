"""Packed records as they are after an entry: what the relay writes. No I/O.

The seq in a packed record is that of the last entry that touched its key. So a registry that followed every entry and
one that was filled from the ledger hold the same bytes, and two relays can never disagree.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, Protocol

from lostid.domain.covers import Effect
from lostid.domain.packed import pack
from lostid.domain.record import fold
from lostid.registry.writer import Line
from lostid.replication.rules import Link

LARGEST: Final = 4_096
"""Bytes of a record in the registry. Hundreds of licences reported by serial under one number: nobody has so many, and
a lookup's reply has two bytes for a length."""


class Touching(Link, Protocol):
    """An entry, as far as it matters here."""

    @property
    def keys(self) -> Sequence[bytes]: ...


def value_after(key: bytes, effects: Sequence[Effect], tag_key: bytes) -> bytes | None:
    """The packed record after these effects. None: nothing is in force, or more than is worth keeping in the registry,
    which then has no record, so that the ledger answers."""
    value = pack(fold(effects), max((effect.seq for effect in effects), default=0), key, tag_key)
    return value if value is None or len(value) <= LARGEST else None


def lines(entries: Iterable[Touching], effects: Mapping[bytes, Sequence[Effect]], tag_key: bytes) -> list[Line]:
    """Each entry with the records of its keys as they are right after it. ``effects``: all effects of all these keys,
    at least up to the last entry."""
    return [
        Line(
            entry.seq,
            entry.prev,
            entry.hash,
            {key: value_after(key, _upto(effects[key], entry), tag_key) for key in entry.keys},
        )
        for entry in entries
    ]


def _upto(effects: Iterable[Effect], entry: Link) -> list[Effect]:
    return [effect for effect in effects if effect.seq <= entry.seq]


def chunks(
    effects: Iterator[tuple[bytes, list[Effect]]], tag_key: bytes, size: int = 2_000
) -> Iterator[tuple[int, list[tuple[bytes, bytes]]]]:
    """The records of a whole ledger in the order of its keys, and with each chunk how many keys have then been seen."""
    seen = 0
    while chunk := list(islice(effects, size)):
        seen += len(chunk)
        packed = ((key, value_after(key, of_key, tag_key)) for key, of_key in chunk)
        yield seen, [(key, value) for key, value in packed if value is not None]
