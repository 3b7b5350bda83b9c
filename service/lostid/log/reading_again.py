"""Reading the ledger's entries again: does each still say what it said when it was written? Pure.

An entry is whole when its hash is that of its content, it continues the entry before it, its leaf in the tree commits
to that hash, and the rows of `covers` made from it are the ones its body tells. Whoever changes a row by hand breaks at
least one of these, or else has to change the hash, and with it every later one and the tree that was signed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from typing import Final

from lostid.domain.covers import Action, Effect
from lostid.domain.staged import Flip
from lostid.ledger import bodies, entries
from lostid.ledger.bodies import Told
from lostid.ledger.entries import chain_hash
from lostid.ledger.errors import LedgerFault
from lostid.ledger.tree import ApiKeyRow, EntryRow, LeafRow, TurnRow
from lostid.log.leaf import Leaf, commitment

_TURNS: Final = {
    entries.RELEASED: Action.ADD, entries.WITHDRAWN: Action.WITHDRAW, entries.RESTORED: Action.QUARANTINE
}  # fmt: skip
_ENDING: Final = (b'"kind":"key.revoked"', b'"kind":"station.revoked"', b'"kind":"operator.')


def entry_faults(rows: Sequence[EntryRow], after: int, upto: int, prev: bytes | None) -> Iterator[tuple[int, str]]:
    """(seq, what) for each entry of ``after`` < seq <= ``upto`` that is missing, altered or does not follow.

    ``prev``: the hash of entry ``after``, None where the first row's link is not to be looked at.
    """
    expected = after + 1
    for row in rows:
        while expected < row.seq:
            yield expected, "entry_missing"
            prev, expected = None, expected + 1
        if prev is not None and row.prev != prev:
            yield row.seq, "chain_broken"
        if row.hash != chain_hash(row.prev, row.seq, row.recorded_ms, row.body):
            yield row.seq, "entry_altered"
        prev, expected = row.hash, row.seq + 1
    for seq in range(expected, upto + 1):
        yield seq, "entry_missing"


def key_faults(rows: Sequence[ApiKeyRow], ended: Set[str]) -> Iterator[tuple[int, str]]:
    """(seq of the entry that made it, what) for each API key that is not as entries say: put in by hand, given other
    roles, another operator or secret; or brought back after an entry (``ended``: as far as they were read) ended it."""
    for row in rows:
        try:
            told = None if row.body is None else bodies.decode(row.body, row.created_seq)
        except (LedgerFault, ValueError, KeyError, TypeError):
            told = None
        if told is None or told.id != row.id or dict(told.facts) != row.facts:
            yield row.created_seq, "key_altered"
        elif row.id in ended and not row.revoked:
            yield row.created_seq, "key_brought_back"


def keys_ended(rows: Sequence[EntryRow]) -> set[str]:
    """The API keys that these entries end."""
    ended: set[str] = set()
    for row in rows:
        if not any(kind in row.body for kind in _ENDING):
            continue
        try:
            told = bodies.decode(row.body, row.seq)
        except (LedgerFault, ValueError, KeyError, TypeError):
            continue
        ended.update([told.id] if told.kind == "key.revoked" else told.facts.get("keys", ()))
    return ended


def leaf_faults(rows: Sequence[EntryRow], leaves: Sequence[LeafRow]) -> Iterator[tuple[int, str]]:
    """(seq, what) for each entry whose leaf is missing or commits to something else. A deleted salt proves nothing."""
    by_seq = {leaf.seq: leaf for leaf in leaves}
    for row in rows:
        found = by_seq.get(row.seq)
        if found is None:
            yield row.seq, "leaf_missing"
            continue
        leaf = Leaf.decode(found.leaf)
        committed = found.salt is None or leaf.commitment == commitment(found.salt, row.hash)
        if not committed or leaf.seq != row.seq or leaf.recorded_ms != row.recorded_ms:
            yield row.seq, "leaf_mismatch"


def decoded(rows: Sequence[EntryRow]) -> list[Told | None]:
    """What each entry says; None where it cannot be read."""
    return [_decoded(row) for row in rows]


def flip_of(row: EntryRow) -> Flip | None:
    """The import that an entry puts in force or takes back. None also where the entry cannot be read."""
    return _flip(_decoded(row))


def turn_faults(
    rows: Sequence[EntryRow], told: Sequence[Told | None], turns: Sequence[TurnRow]
) -> Iterator[tuple[int, str]]:
    """(seq, what) for each entry of which the rows about imports say otherwise: they decide which entries an import's
    effects count from and up to, and which digest its rows are compared with. ``told``: what the entries say."""
    expected: dict[int, list[TurnRow]] = {}
    for row, one in zip(rows, told, strict=True):
        flip = _flip(one)
        if one is not None and flip is not None:
            expected[row.seq] = [TurnRow(row.seq, _TURNS[one.kind], flip)]
    found: dict[int, list[TurnRow]] = {}
    for turn in turns:
        found.setdefault(turn.seq, []).append(turn)
    for row in rows:
        if expected.get(row.seq, []) != found.get(row.seq, []):
            yield row.seq, "turns_altered"


def cover_faults(
    rows: Sequence[EntryRow], told: Sequence[Told | None], effects: Sequence[Effect]
) -> Iterator[tuple[int, str]]:
    """(seq, what) for each entry whose rows of `covers` are not the ones that its body tells."""
    found: dict[int, list[Effect]] = {}
    for effect in effects:
        found.setdefault(effect.seq, []).append(effect)
    for row, one in zip(rows, told, strict=True):
        if one is None:
            yield row.seq, "entry_unreadable"
        elif list(one.effects) != found.get(row.seq, []):
            yield row.seq, "covers_altered"


def _decoded(row: EntryRow) -> Told | None:
    try:
        return bodies.decode(row.body, row.seq)
    except (LedgerFault, ValueError, KeyError, TypeError):
        return None


def _flip(told: Told | None) -> Flip | None:
    try:
        return None if told is None else entries.flip_of(told.kind, told.facts)
    except (ValueError, KeyError, TypeError):
        return None
