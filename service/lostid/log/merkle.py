"""The Merkle tree of RFC 6962 section 2.1 (RFC 9162 section 2.1), each proof beside its checker.

A tree is never held whole. Whoever asks for a root or a proof gives a ``HashSource``: it hands out the hashes that
tiles store, those of complete subtrees of 256**level leaves. Everything else is hashed again from these.

What must hold: ``verify_inclusion`` accepts exactly the proofs that ``prove_inclusion`` makes for that leaf, index,
size and root, and ``verify_consistency`` exactly those of ``prove_consistency``; the verifiers need no source and
trust nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

HASH_BYTES = 32
TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT

EMPTY_ROOT = hashlib.sha256(b"").digest()  # RFC 6962 section 2.1: the hash of an empty list


class ProofRefused(Exception):
    """A proof that does not prove what it is said to prove."""


class HashSource(Protocol):
    """Where the hashes of complete subtrees of 256**level leaves come from."""

    def hashes(self, level: int, start: int, count: int) -> Sequence[bytes]:
        """Return the ``count`` hashes from index ``start`` at tile ``level``; ``count`` never crosses a tile's end."""
        ...


def leaf_hash(entry: bytes) -> bytes:
    """MTH({d}) = SHA-256(0x00 || d)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of_hashes(hashes: Sequence[bytes]) -> bytes:
    """Return MTH over leaf hashes that are at hand; the empty list gives ``EMPTY_ROOT``."""
    if not hashes:
        return EMPTY_ROOT
    if len(hashes) == 1:
        return hashes[0]
    split = _split(len(hashes))
    return node_hash(root_of_hashes(hashes[:split]), root_of_hashes(hashes[split:]))


def root(source: HashSource, size: int) -> bytes:
    """Return the root of the tree of the first ``size`` leaves."""
    return EMPTY_ROOT if size == 0 else _range_hash(source, 0, size)


def prove_inclusion(source: HashSource, index: int, size: int) -> list[bytes]:
    """Return PATH(index, D[size]) of RFC 6962 section 2.1.1.

    Raises:
        ValueError: there is no such leaf in a tree of that size.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    return _path(source, index, 0, size)


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected_root: bytes) -> None:
    """Check that ``leaf`` (a leaf hash) stands at ``index`` of the tree; RFC 9162 section 2.1.3.2.

    Raises:
        ProofRefused: it does not follow from the proof.
    """
    if not 0 <= index < size:
        raise ProofRefused("the index lies outside the tree")
    fn, sn, computed = index, size - 1, leaf
    for sibling in proof:
        if sn == 0:
            raise ProofRefused("the proof is too long")
        if fn & 1 or fn == sn:
            computed = node_hash(sibling, computed)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            computed = node_hash(computed, sibling)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise ProofRefused("the proof is too short")
    if computed != expected_root:
        raise ProofRefused("the proof leads to another root")


def prove_consistency(source: HashSource, old_size: int, new_size: int) -> list[bytes]:
    """Return PROOF(old_size, D[new_size]) of RFC 6962 section 2.1.2; empty when there is nothing to prove.

    Raises:
        ValueError: the old tree is larger than the new one.
    """
    if not 0 <= old_size <= new_size:
        raise ValueError(f"a tree of {old_size} cannot precede one of {new_size}")
    if old_size in (0, new_size):
        return []
    return _subproof(source, old_size, 0, new_size, whole=True)


def verify_consistency(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the new tree begins with the old one; RFC 9162 section 2.1.4.2.

    Raises:
        ProofRefused: it does not follow from the proof.
    """
    if not 0 <= old_size <= new_size:
        raise ProofRefused("the log has shrunk")
    if old_size in (0, new_size):
        _verify_trivial(old_size, old_root, new_size, new_root, proof)
        return
    if not proof:
        raise ProofRefused("the proof is empty")
    hashes = list(proof)
    if old_size & (old_size - 1) == 0:
        hashes.insert(0, old_root)  # an old tree that is one complete subtree is not repeated in the proof
    fn, sn = old_size - 1, new_size - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    old_computed = new_computed = hashes[0]
    for sibling in hashes[1:]:
        if sn == 0:
            raise ProofRefused("the proof is too long")
        if fn & 1 or fn == sn:
            old_computed = node_hash(sibling, old_computed)
            new_computed = node_hash(sibling, new_computed)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            new_computed = node_hash(new_computed, sibling)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise ProofRefused("the proof is too short")
    if old_computed != old_root:
        raise ProofRefused("the log does not contain what it had before")
    if new_computed != new_root:
        raise ProofRefused("the proof leads to another root")


def _verify_trivial(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    if proof:
        raise ProofRefused("the proof is too long")
    if old_size == 0 and old_root != EMPTY_ROOT:
        raise ProofRefused("an empty log has another root")
    if old_size == new_size and old_root != new_root:
        raise ProofRefused("two roots for one size: the log has forked")


def _split(n: int) -> int:
    """The largest power of two smaller than ``n`` (n > 1)."""
    return 1 << ((n - 1).bit_length() - 1)


def _range_hash(source: HashSource, start: int, end: int) -> bytes:
    """MTH(D[start:end]) for a range that RFC 6962's recursion can reach."""
    n = end - start
    if n & (n - 1) == 0:
        level, rest = divmod(n.bit_length() - 1, TILE_HEIGHT)
        return root_of_hashes(source.hashes(level, start >> (TILE_HEIGHT * level), 1 << rest))
    middle = start + _split(n)
    return node_hash(_range_hash(source, start, middle), _range_hash(source, middle, end))


def _path(source: HashSource, index: int, start: int, end: int) -> list[bytes]:
    if end - start == 1:
        return []
    middle = start + _split(end - start)
    if index < middle:
        return [*_path(source, index, start, middle), _range_hash(source, middle, end)]
    return [*_path(source, index, middle, end), _range_hash(source, start, middle)]


def _subproof(source: HashSource, old_end: int, start: int, end: int, *, whole: bool) -> list[bytes]:
    """SUBPROOF of RFC 6962 section 2.1.2; ``whole``: the range is a subtree of the old tree that the verifier knows."""
    if old_end == end:
        return [] if whole else [_range_hash(source, start, end)]
    middle = start + _split(end - start)
    if old_end <= middle:
        return [*_subproof(source, old_end, start, middle, whole=whole), _range_hash(source, middle, end)]
    return [*_subproof(source, old_end, middle, end, whole=False), _range_hash(source, start, middle)]
