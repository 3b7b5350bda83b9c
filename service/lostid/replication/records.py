"""Packed records as they are after an entry: what the relay writes. No I/O.

The seq in a packed record is that of the last entry that touched its key. So a registry that followed every entry and
one that was filled from the ledger hold the same bytes, and two relays can never disagree.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, Protocol

from lostid.domain.covers import Effect
from lostid.domain.packed import Sealer, pack
from lostid.domain.record import fold
from lostid.ledger import outline
from lostid.registry.writer import Line
from lostid.replication.rules import Link

LARGEST: Final = 4_096
"""Bytes of a record in the registry. Hundreds of licences reported by serial under one number: nobody has so many, and
a lookup's reply has two bytes for a length."""

EffectsOf = Callable[[Sequence[bytes]], Mapping[bytes, Sequence[Effect]]]


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


class Packer:
    """Packs what `ledger.outline` tells: a key with one effect, which adds a cover without a serial, from its line, all
    others the general way; the bytes are the same."""

    def __init__(self, tag_key: bytes) -> None:
        self._tag_key = tag_key
        self._seal = Sealer(tag_key).seal
        self._simple: dict[bytes, bytes] = {}  # what a line says: the first half of its record

    def records(self, lines: Sequence[bytes], effects_of: EffectsOf) -> tuple[int, list[tuple[bytes, bytes]]]:
        """How many keys all these lines of them are of, and their records in the order of the keys."""
        keys = [line[outline.KEY] for line in lines]
        different = len(set(keys))
        general = set() if different == len(keys) else {key for key, following in pairwise(keys) if key == following}
        seal, records = self._seal, []
        for key, seq, what in outline.told(lines):
            covers = self._simple.get(what) or self._simply(what)
            if covers is None:
                general.add(key)
            elif key not in general:
                records.append((key, seal(covers, seq, key)))
        if general:
            effects = effects_of(sorted(general))
            values = ((key, value_after(key, effects[key], self._tag_key)) for key in general)
            records = sorted([*records, *((key, value) for key, value in values if value is not None)])
        return different, records

    def _simply(self, what: bytes) -> bytes | None:
        """There are some 130,000 such covers at most, and a ledger repeats a few thousand of them all the time."""
        cover = outline.cover_of(what)
        if cover is None or cover.serial_tag is not None:
            return None
        self._simple[what] = covers = Sealer.covers([cover])
        return covers


def batches(
    outlines: Iterable[Sequence[bytes]], effects_of: EffectsOf, tag_key: bytes
) -> Iterator[tuple[int, list[tuple[bytes, bytes]]]]:
    """The records of a whole ledger in the order of its keys, and with each batch how many keys have then been seen."""
    packer, seen = Packer(tag_key), 0
    for lines in outlines:
        different, records = packer.records(lines, effects_of)
        seen += different
        yield seen, records
