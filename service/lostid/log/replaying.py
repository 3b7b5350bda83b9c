"""Replaying a verified log: entries that are tied to its leaves, folded into records, compared with what is answered.

What must hold: an opened entry is the one that its leaf commits to, and continues the entry before it; the rows of an
import are as many as its entry says and come to the digest that stands there; the record that the registry answers for
a document key says the same of every card as the fold of that key's effects. A leaf whose salt was deleted is tied by
the entry after it, whose chain hash covers this one's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lostid.domain.covers import CoverKind, Effect, Reach
from lostid.domain.instance import MISSING, Instance
from lostid.domain.packed import PackedCover
from lostid.domain.record import Record, fold
from lostid.domain.status import decide
from lostid.ledger import bodies
from lostid.ledger.entries import chain_hash, flip_of
from lostid.ledger.errors import LedgerFault
from lostid.ledger.tree import Opening
from lostid.log.leaf import SALT_BYTES, Leaf, commitment
from lostid.log.replaying_imports import Parts, ReplayedImports
from lostid.log.verifying import Finding

_NOBODYS_TAG: Final = b"\xff" * 8


@dataclass(frozen=True, slots=True)
class Answered:
    """A record as the registry told it."""

    reaches: tuple[PackedCover, ...]


class Replay:
    """Takes openings in order; then `differs` says which answers are other than the entries come to."""

    def __init__(self, parts_of: Parts) -> None:
        self.seq = 0
        self.unopened = 0
        """Entries whose salt was deleted."""
        self._imports = ReplayedImports(parts_of)
        self._hash: bytes | None = None
        self._effects: dict[bytes, list[Effect]] = {}

    @property
    def keys(self) -> list[bytes]:
        """The document keys that any entry touched, or a row of an import that was ever in force."""
        return list(dict.fromkeys((*self._effects, *self._imports.keys)))

    @property
    def imports(self) -> int:
        """How many imports were released; all their rows are taken in."""
        return len(self._imports)

    def take(self, opening: Opening, leaves: Sequence[bytes]) -> Finding | None:
        """The next entry. ``leaves``: those of the verified tree."""
        where = f"entry {opening.seq}"
        if opening.seq != self.seq + 1:
            return Finding("opening_missing", f"entry {self.seq + 1}")
        self.seq = opening.seq
        before, self._hash = (
            self._hash,
            chain_hash(opening.prev, opening.seq, opening.recorded_ms, opening.body),
        )
        if before is not None and opening.prev != before:
            return Finding("chain_broken", where)
        leaf = Leaf.decode(leaves[opening.seq - 1])
        if opening.salt is None:
            self.unopened += 1
        elif len(opening.salt) != SALT_BYTES or commitment(opening.salt, self._hash) != leaf.commitment:
            return Finding("opening_mismatch", where)
        try:
            told = bodies.decode(opening.body, opening.seq)
            flip = flip_of(told.kind, told.facts)
        except (LedgerFault, ValueError, KeyError, TypeError):
            return Finding("entry_unreadable", where)
        if flip is not None and not self._imports.take(opening.seq, told.kind, told.id, flip):
            return Finding("rows_differ", where)
        for effect in told.effects:
            self._effects.setdefault(effect.key, []).append(effect)
        return None

    def differs(self, key: bytes, answered: Answered) -> bool:
        """Whether the answer says anything else of any card than the entries do."""
        expected = self._record(key)
        cards = _cards([*expected.reaches, *answered.reaches])
        return any(decide(answered, card) != decide(expected, card) for card in cards)

    def in_force(self, key: bytes) -> bool:
        return bool(self._record(key))

    def _record(self, key: bytes) -> Record:
        return fold([*self._effects.get(key, ()), *self._imports.effects(key)])


def answered(covers: Iterable[Mapping[str, Any]]) -> Answered:
    """Reads what /v1/log/records tells of a key. Raises ValueError, KeyError, TypeError for anything else."""
    return Answered(tuple(_cover(told) for told in covers))


def _cover(told: Mapping[str, Any]) -> PackedCover:
    tag = told.get("serial_tag")
    spared = tuple(bytes.fromhex(one) for one in told.get("also_spared", ()))
    final, watermark = bool(told["final"]), told.get("watermark")
    return PackedCover(CoverKind(told["kind"]), final, watermark, None if tag is None else bytes.fromhex(tag), spared)


def _cards(reaches: Iterable[Reach]) -> list[Instance]:
    """Cards on which two records can differ at all: at each watermark and just after it, each serial and another."""
    cards = [MISSING, Instance(serial_tag=_NOBODYS_TAG)]
    for reach in reaches:
        if reach.watermark is not None:
            cards += [Instance(days=(reach.watermark,)), Instance(days=(reach.watermark + 1,))]
        cards += [Instance(serial_tag=tag) for tag in (reach.serial_tag, *reach.also_spared) if tag is not None]
    return cards
