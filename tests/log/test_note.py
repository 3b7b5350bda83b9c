"""Signed notes and checkpoints against the published examples."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lostid.log.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from lostid.log.note import NoteRefused, NoteVerifier, open_note, sign_note

# The example of golang.org/x/mod/sumdb/note, and the one of C2SP signed-note.
GO_PRIVATE = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
GO_VERIFIER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_NOTE = (
    GO_TEXT
    + "\n— PeterNeumann "
    + "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
C2SP_VERIFIER = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
C2SP_NOTE = (
    "This is an example message.\n\n— example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)


def test_published_notes_open() -> None:
    """Notes that other implementations signed open here."""
    assert open_note(GO_NOTE, [NoteVerifier.parse(GO_VERIFIER)]) == GO_TEXT
    assert open_note(C2SP_NOTE, [NoteVerifier.parse(C2SP_VERIFIER)]) == "This is an example message.\n"


def test_published_note_signed() -> None:
    """Signing the published text with the published key gives the published note, byte for byte."""
    assert sign_note(GO_TEXT, "PeterNeumann", Ed25519PrivateKey.from_private_bytes(GO_PRIVATE)) == GO_NOTE


def test_every_changed_character() -> None:
    """No note with one character changed opens to the same text or another."""
    verifier = NoteVerifier.parse(GO_VERIFIER)
    for at, character in enumerate(GO_NOTE):
        changed = GO_NOTE[:at] + ("A" if character != "A" else "B") + GO_NOTE[at + 1 :]
        with pytest.raises(NoteRefused):
            open_note(changed, [verifier])


def test_unknown_signatures_are_ignored() -> None:
    """A second signature by a stranger neither helps nor harms."""
    stranger = C2SP_NOTE.splitlines(keepends=True)[-1]
    verifier = NoteVerifier.parse(GO_VERIFIER)
    assert open_note(GO_NOTE + stranger, [verifier]) == GO_TEXT
    with pytest.raises(NoteRefused, match="no trusted key"):
        open_note(GO_NOTE, [NoteVerifier.parse(C2SP_VERIFIER)])


@pytest.mark.parametrize("text", ["", "a+b", GO_VERIFIER[:-1], GO_VERIFIER.replace("c74f", "c74e"), GO_VERIFIER + "="])
def test_verifier_keys_refused(text: str) -> None:
    """A mangled verifier key is refused."""
    with pytest.raises(NoteRefused):
        NoteVerifier.parse(text)


def test_checkpoint_round_trip() -> None:
    """A signed checkpoint opens for its origin and no other."""
    private = Ed25519PrivateKey.from_private_bytes(GO_PRIVATE)
    checkpoint = Checkpoint("lostid.example/log", 20852163, bytes(range(32)))
    verifier = NoteVerifier(checkpoint.origin, private.public_key().public_bytes_raw())
    note = sign_checkpoint(checkpoint, private)
    assert open_checkpoint(note, checkpoint.origin, [verifier]) == checkpoint
    with pytest.raises(NoteRefused, match="another log"):
        open_checkpoint(note, "lostid.example/other", [verifier])


@pytest.mark.parametrize("size", ["01", "-1", "1 ", "\u0661", ""])
def test_checkpoint_sizes(size: str) -> None:
    """A size that is not a canonical decimal number is refused, signed or not."""
    private = Ed25519PrivateKey.from_private_bytes(GO_PRIVATE)
    root = base64.b64encode(bytes(32)).decode()
    note = sign_note(f"o\n{size}\n{root}\n", "o", private)
    with pytest.raises(NoteRefused):
        open_checkpoint(note, "o", [NoteVerifier("o", private.public_key().public_bytes_raw())])
