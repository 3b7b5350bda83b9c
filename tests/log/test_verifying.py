"""Whoever has a log's URL and key finds every change of it."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lostid.log.checkpoint import Checkpoint, sign_checkpoint
from lostid.log.growth import grow
from lostid.log.leaf import Leaf
from lostid.log.merkle import leaf_hash, root
from lostid.log.note import NoteVerifier
from lostid.log.tiles import ENTRIES, TileName, TileSource, pack_bundle, tiles_of
from lostid.log.verifying import Verified, verify_log

ORIGIN = "lostid.test/log"
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(32))
KEYS = [NoteVerifier(ORIGIN, PRIVATE.public_key().public_bytes_raw())]


def entries_of(size: int, flavour: bytes = b"a") -> list[bytes]:
    return [Leaf(seq, 1000 + seq, flavour * 32).encode() for seq in range(1, size + 1)]


def published(entries: list[bytes]) -> dict[str, bytes]:
    """Everything that a log of these entries serves."""
    size = len(entries)
    tiles = grow({}, 0, [leaf_hash(entry) for entry in entries])
    note = sign_checkpoint(Checkpoint(ORIGIN, size, root(TileSource(tiles), size)), PRIVATE)
    served = {"checkpoint": note.encode()}
    for name in tiles_of(size):
        served[f"tile/{name.path}"] = tiles[name.level, name.index]
        if name.level == 0:
            bundle = TileName(ENTRIES, name.index, name.width)
            served[f"tile/{bundle.path}"] = pack_bundle(entries[name.start : name.start + name.width])
    return served


def verified(served: dict[str, bytes], seen: Checkpoint | None = None) -> Verified:
    return verify_log(served.__getitem__, ORIGIN, KEYS, seen)


def test_honest_log() -> None:
    """An honest log is good, and stays so as it grows."""
    first = verified(published(entries_of(300)))
    assert first.good
    assert verified(published(entries_of(1000)), first.checkpoint).good


def test_every_flipped_bit() -> None:
    """One bit flipped anywhere in what is published is found."""
    served = published(entries_of(5))
    for path, content in served.items():
        for at in range(len(content)):
            changed = bytearray(content)
            changed[at] ^= 1 << (at % 8)
            assert not verified({**served, path: bytes(changed)}).good, (path, at)


def test_rollback_truncation_and_fork() -> None:
    """A shorter log, a missing end and a second history are each named."""
    seen = verified(published(entries_of(300))).checkpoint
    assert [f.code for f in verified(published(entries_of(299)), seen).findings] == ["rolled_back"]
    forked = published([*entries_of(300, b"b"), *entries_of(301)[300:]])
    assert [f.code for f in verified(forked, seen).findings] == ["forked"]
    served = published(entries_of(300))
    del served["tile/entries/001.p/44"]
    assert "truncated" in [f.code for f in verified(served).findings]


def test_other_keys() -> None:
    """A log signed with another key, or under another name, is not believed."""
    stranger = [NoteVerifier(ORIGIN, Ed25519PrivateKey.generate().public_key().public_bytes_raw())]
    served = published(entries_of(3))
    assert verify_log(served.__getitem__, ORIGIN, stranger).checkpoint is None
    assert verify_log(served.__getitem__, "other/log", KEYS).checkpoint is None
