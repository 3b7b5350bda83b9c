"""Checkpoints (C2SP tlog-checkpoint): a signed head of the Merkle log: origin, size, root."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lostid.log.merkle import HASH_BYTES
from lostid.log.note import NoteRefused, NoteVerifier, open_note, sign_note


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says of itself: ``size`` leaves, and the ``root`` over them."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The note's text, without extension lines."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def sign_checkpoint(checkpoint: Checkpoint, private: Ed25519PrivateKey) -> str:
    """Return the signed note; the key is named as the origin.

    A log must never sign two checkpoints of which one does not continue the other: that is the caller's duty.
    """
    return sign_note(checkpoint.text, checkpoint.origin, private)


def open_checkpoint(note: str, origin: str, verifiers: Sequence[NoteVerifier]) -> Checkpoint:
    """Return the checkpoint of a note that one of ``verifiers`` signed for ``origin``.

    Raises:
        NoteRefused: not signed, another log's, or malformed.
    """
    lines = open_note(note, verifiers).split("\n")
    try:
        found_origin, size, encoded = lines[:3]
        root = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        raise NoteRefused("not a checkpoint") from None
    if found_origin != origin:
        raise NoteRefused("the checkpoint of another log")
    canonical_size = size.isascii() and size.isdigit() and (size == "0" or size[0] != "0")
    if not canonical_size or len(root) != HASH_BYTES or any(not line for line in lines[:-1]):
        raise NoteRefused("not a checkpoint")
    return Checkpoint(origin, int(size), root)
