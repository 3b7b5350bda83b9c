"""Replaying imports: their rows as the registry shows them, held against the digests in the entries.

What must hold: the rows of an import are as many as the entry that released it says, and come to its digest; every
later entry about it names the same. Each row counts from that entry on, and goes and comes back with the entries that
say so, as in the ledger's view `effects`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from lostid.domain import staged
from lostid.domain.covers import Action, Effect
from lostid.domain.staged import KEY_BYTES, ROW_BYTES, Flip
from lostid.ledger import entries

Parts = Callable[[int], Iterable[tuple[int, bytes]]]
"""Number of an import -> (place, rows) of its parts in order, as somebody tells them."""

_TURNS: Final = {entries.WITHDRAWN: Action.WITHDRAW, entries.RESTORED: Action.QUARANTINE}
_NUMBER_BYTES: Final = 8
_KEPT_BYTES: Final = _NUMBER_BYTES + ROW_BYTES - KEY_BYTES


@dataclass(frozen=True, slots=True)
class _Import:
    id: str
    flip: Flip
    seq: int
    turns: list[tuple[int, Action]] = field(default_factory=list)


class ReplayedImports:
    """`take` for each entry about an import, in order. Holds every row: some 250 bytes each."""

    def __init__(self, parts_of: Parts) -> None:
        self._parts_of = parts_of
        self._imports: dict[int, _Import] = {}
        self._rows: dict[bytes, bytes] = {}
        """By document key, of each row: the import's number, and what follows the key."""

    def __len__(self) -> int:
        return len(self._imports)

    @property
    def keys(self) -> Iterable[bytes]:
        return self._rows.keys()

    def take(self, seq: int, kind: str, id_: str, flip: Flip) -> bool:
        """False: its rows are not those that the entry names, or not those of the entries before."""
        known = self._imports.get(flip.number)
        if kind != entries.RELEASED:
            if known is None or (known.id, known.flip) != (id_, flip):
                return False
            known.turns.append((seq, _TURNS[kind]))
            return True
        self._imports[flip.number] = _Import(id_, flip, seq)
        return known is None and self._read(flip)

    def effects(self, key: bytes) -> Iterator[Effect]:
        """What imports did to a document key."""
        kept = self._rows.get(key, b"")
        for at in range(0, len(kept), _KEPT_BYTES):
            number, rest = kept[at : at + _NUMBER_BYTES], kept[at + _NUMBER_BYTES : at + _KEPT_BYTES]
            found = self._imports[int.from_bytes(number, "big")]
            for effect in staged.effects(key + rest, found.seq, found.id):
                yield effect
                for seq, action in found.turns:
                    yield replace(effect, seq=seq, action=action, cover=None)

    def _read(self, flip: Flip) -> bool:
        digests, count, number = [], 0, flip.number.to_bytes(_NUMBER_BYTES, "big")
        for part, rows in self._parts_of(flip.number):
            digests.append(staged.part_digest(part, rows))
            count += len(rows) // ROW_BYTES
            if count > flip.rows:
                return False
            for at in range(0, len(rows), ROW_BYTES):
                key, rest = rows[at : at + KEY_BYTES], rows[at + KEY_BYTES : at + ROW_BYTES]
                self._rows[key] = self._rows.get(key, b"") + number + rest
        return count == flip.rows and staged.digest(digests) == flip.digest
