"""Signed notes (C2SP signed-note): a text and the lines that sign it, with Ed25519 (signature type 0x01).

A note's text is worth nothing until ``open_note`` has returned it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_ED25519 = b"\x01"
_SIGNATURE_START = "— "  # em dash, space
_MAX_NOTE_BYTES = 1_000_000


class NoteRefused(Exception):
    """The note is malformed, or no trusted key has signed it, or a trusted key's signature is wrong."""


@dataclass(frozen=True, slots=True)
class NoteVerifier:
    """A trusted key by name; ``public`` is the 32 bytes of RFC 8032."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """SHA-256(name || 0x0A || 0x01 || public key)[:4]."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:4]

    @property
    def text(self) -> str:
        """The usual written form: name+key id+base64(type || key)."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(_ED25519 + self.public).decode()}"

    @classmethod
    def parse(cls, text: str) -> NoteVerifier:
        """Read the written form.

        Raises:
            NoteRefused: it is not one, its key id is another's, or the key is not Ed25519.
        """
        try:
            name, key_id, key = text.split("+", 2)
            raw = base64.b64decode(key, validate=True)
        except (ValueError, binascii.Error):
            raise NoteRefused("not a verifier key") from None
        verifier = cls(name, raw[1:])
        canonical = verifier.text == text and verifier.key_id.hex() == key_id
        if not name or raw[:1] != _ED25519 or len(raw) != 33 or not canonical:
            raise NoteRefused("not a verifier key")
        return verifier


def sign_note(text: str, name: str, private: Ed25519PrivateKey) -> str:
    """Return the signed note for ``text``, which must end in a newline.

    Raises:
        ValueError: the text or the name cannot stand in a note.
    """
    if not text.endswith("\n") or any(c < " " and c != "\n" for c in text):
        raise ValueError("a note's text ends in a newline and has no other control characters")
    if not name or "+" in name or any(c.isspace() for c in name):
        raise ValueError("a key name is not empty and has neither spaces nor plus signs")
    verifier = NoteVerifier(name, private.public_key().public_bytes_raw())
    signature = base64.b64encode(verifier.key_id + private.sign(text.encode())).decode()
    return f"{text}\n{_SIGNATURE_START}{name} {signature}\n"


def open_note(note: str, verifiers: Sequence[NoteVerifier]) -> str:
    """Return the text of a note that at least one of ``verifiers`` has signed.

    Signatures of unknown keys are ignored; a wrong one of a known key refuses the whole note.

    Raises:
        NoteRefused: see the class.
    """
    text, lines = _split(note)
    known = {(verifier.name, verifier.key_id): verifier for verifier in verifiers}
    signed = False
    for line in lines:
        name, key_id, signature = _parse_signature(line)
        verifier = known.get((name, key_id))
        if verifier is None:
            continue
        try:
            Ed25519PublicKey.from_public_bytes(verifier.public).verify(signature, text.encode())
        except InvalidSignature:
            raise NoteRefused(f"the signature of {name} does not fit the text") from None
        signed = True
    if not signed:
        raise NoteRefused("no trusted key has signed this note")
    return text


def _split(note: str) -> tuple[str, list[str]]:
    if len(note) > _MAX_NOTE_BYTES or any(c < " " and c != "\n" for c in note):
        raise NoteRefused("not a signed note")
    head, blank, tail = note.rpartition("\n\n")
    if not blank or not tail.endswith("\n"):
        raise NoteRefused("not a signed note")
    return head + "\n", tail[:-1].split("\n")


def _parse_signature(line: str) -> tuple[str, bytes, bytes]:
    name, space, encoded = line.removeprefix(_SIGNATURE_START).partition(" ")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        raw = b""
    if not line.startswith(_SIGNATURE_START) or not name or not space or len(raw) < 5:
        raise NoteRefused("a signature line is malformed")
    return name, raw[:4], raw[4:]
