"""The canary documents: reported from a ledger's first entry on, for ever, in an environment of their own."""

from typing import Final

from lostid.domain.canonical import Canonical
from lostid.domain.documents import CN_PASSPORT, RESIDENT_ID
from lostid.domain.keys import Keyring

CANARIES: Final = (Canonical(RESIDENT_ID, "990000198001010004"), Canonical(CN_PASSPORT, "E00000000"))


def canary_keys(keyring: Keyring) -> tuple[bytes, ...]:
    """Their document keys. No API key has this environment, so nobody can report or withdraw them."""
    return tuple(canary_tokens(keyring))


def canary_tokens(keyring: Keyring) -> dict[bytes, bytes]:
    """Their tokens, by document key: the ledger holds none for them, since nobody ever sent them."""
    return {keyring.key("canary", document): keyring.token("canary", document) for document in CANARIES}
