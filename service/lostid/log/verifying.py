"""Verifying a published log, as anybody can who has its URL and its key: every hash rebuilt from the entry bundles.

What must hold: the checkpoint is signed; each tile holds the hashes that its entries (or the tiles below it) have; they
lead to the checkpoint's root; entry i says that it is seq i + 1, and time never goes back; and the log continues what
the last visit saw. A bit flipped anywhere, an end cut off, a second history: each is a `Finding`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lostid.log.checkpoint import Checkpoint, open_checkpoint
from lostid.log.growth import grow
from lostid.log.leaf import Leaf
from lostid.log.merkle import leaf_hash, root
from lostid.log.note import NoteRefused, NoteVerifier
from lostid.log.tiles import ENTRIES, TileName, TileSource, tiles_of, unpack_bundle

Fetch = Callable[[str], bytes]
"""Path behind the log's prefix (``checkpoint``, ``tile/0/000``) -> content. Raises LookupError where there is none."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that an honest log does not show."""

    code: str
    where: str


@dataclass(frozen=True, slots=True)
class Verified:
    """The checkpoint that was verified (None where not even that could be) and what was found wrong."""

    checkpoint: Checkpoint | None
    findings: tuple[Finding, ...]
    leaves: Sequence[bytes] = ()
    """What the entry bundles hold, as far as they could be read; worth something only where the log is good."""

    @property
    def good(self) -> bool:
        return self.checkpoint is not None and not self.findings


def verify_log(
    fetch: Fetch, origin: str, verifiers: Sequence[NoteVerifier], seen: Checkpoint | None = None
) -> Verified:
    """Rebuild the whole tree. ``seen``: the checkpoint of the last visit."""
    try:
        checkpoint = open_checkpoint(fetch("checkpoint").decode(), origin, verifiers)
    except (NoteRefused, UnicodeDecodeError, LookupError) as refused:
        return Verified(None, (Finding("checkpoint_refused", str(refused)),))
    if seen is not None and checkpoint.size < seen.size:
        return Verified(checkpoint, (Finding("rolled_back", f"{checkpoint.size} entries, there were {seen.size}"),))
    leaves, findings = _leaves(fetch, checkpoint.size)
    if len(leaves) != checkpoint.size:
        return Verified(checkpoint, (*findings, Finding("truncated", f"{len(leaves)} of {checkpoint.size} entries")))
    tiles = grow({}, 0, [leaf_hash(leaf) for leaf in leaves])
    findings += _tile_findings(fetch, tiles, checkpoint.size)
    if root(TileSource(tiles), checkpoint.size) != checkpoint.root:
        findings.append(Finding("root_mismatch", f"size {checkpoint.size}"))
    if seen is not None and root(TileSource(tiles), seen.size) != seen.root:
        findings.append(Finding("forked", f"the first {seen.size} entries are not those that were there before"))
    return Verified(checkpoint, tuple(findings), leaves)


def _leaves(fetch: Fetch, size: int) -> tuple[list[bytes], list[Finding]]:
    """The leaves of all entry bundles, and what is wrong with them."""
    leaves: list[bytes] = []
    findings: list[Finding] = []
    last_ms = 0
    for name in tiles_of(size):
        if name.level:
            break
        bundle = TileName(ENTRIES, name.index, name.width)
        try:
            entries = unpack_bundle(fetch(f"tile/{bundle.path}"))
            if len(entries) != bundle.width:
                raise ValueError("another number of entries than its name says")
        except (LookupError, ValueError) as fault:
            findings.append(Finding("bundle_refused", f"{bundle.path}: {fault}"))
            break
        for entry in entries:
            seq = len(leaves) + 1
            try:
                leaf = Leaf.decode(entry)
            except ValueError:
                findings.append(Finding("leaf_unreadable", f"entry {seq}"))
            else:
                if leaf.seq != seq or leaf.recorded_ms < last_ms:
                    findings.append(Finding("leaf_out_of_order", f"entry {seq}"))
                last_ms = leaf.recorded_ms
            leaves.append(entry)
    return leaves, findings


def _tile_findings(fetch: Fetch, tiles: dict[tuple[int, int], bytes], size: int) -> list[Finding]:
    findings = []
    for name in tiles_of(size):
        try:
            published = fetch(f"tile/{name.path}")
        except LookupError:
            findings.append(Finding("tile_missing", name.path))
            continue
        if published != tiles[name.level, name.index]:
            findings.append(Finding("tile_mismatch", name.path))
    return findings
