"""Which of the ledger's signing keys are ours: those that a chain of signatures ties to the key in hand. Pure.

A row in the ledger proves nothing: whoever may write there could add a key of his own, and have receipts of his own
verify for ever. So at a rotation the older key signs the newer one's name and the newer one the older's, and only what
hangs together with our own key, which is not in the ledger, is published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lostid.log import jws

KEY_TYP = "lostid-key+jwt"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs or signed, and what ties it to the one before it (None: the first)."""

    kid: str
    public: bytes
    predecessor: str | None = None
    by_predecessor: str | None = None
    by_itself: str | None = None

    @property
    def jwk(self) -> dict[str, str]:
        """As published. ``endorsement``: whoever trusts the key before this one can verify this one with it."""
        told = jws.jwk(self.public)
        return told if self.by_predecessor is None else {**told, "endorsement": self.by_predecessor}


def succeed(old: Ed25519PrivateKey, new: Ed25519PrivateKey, origin: str, now_s: int) -> SigningKey:
    """The row of a new key, with both statements."""
    before, after = (key.public_key().public_bytes_raw() for key in (old, new))
    said = {"iss": origin, "iat": now_s}
    return SigningKey(
        jws.thumbprint(after),
        after,
        jws.thumbprint(before),
        jws.sign({**said, "successor": jws.jwk(after)}, KEY_TYP, old),
        jws.sign({**said, "predecessor": jws.jwk(before)}, KEY_TYP, new),
    )


def believed(rows: Sequence[SigningKey], own: bytes) -> list[SigningKey]:
    """The keys that hang together with ``own``, in the order of ``rows``: all before it, by what each newer one says of
    the older, and all after it (another host has rotated), by what each older one says of the newer."""
    known = {row.kid: row for row in rows if row.kid == jws.thumbprint(row.public)}
    mine = jws.thumbprint(own)
    ours = {mine}
    kid: str | None = mine
    while kid in known and (kid := _before(known, known[kid])) is not None:
        ours.add(kid)
    later = [mine]
    while later:
        found = _after(known, known.get(later.pop()))
        later += found
        ours.update(found)
    listed = [row for row in rows if row.kid in ours]
    return listed if mine in known else [*listed, SigningKey(mine, own)]


def endorsed(keys: Mapping[str, bytes], published: Mapping[str, Any]) -> dict[str, bytes]:
    """The keys of a published set that somebody can trust who trusts ``keys``: those, and all that they endorse, one
    after the other. Raises TokenRefused where it is no key set."""
    offered = jws.keys_of(published)
    statements = [entry["endorsement"] for entry in published["keys"] if isinstance(entry.get("endorsement"), str)]
    trusted = dict(keys)
    for _ in statements:
        for statement in statements:
            kid = _named(statement, trusted, "successor")
            if kid in offered:
                trusted[kid] = offered[kid]
    return trusted


def _before(known: Mapping[str, SigningKey], row: SigningKey) -> str | None:
    named = _named(row.by_itself, {row.kid: row.public}, "predecessor")
    return named if named is not None and named == row.predecessor and named in known else None


def _after(known: Mapping[str, SigningKey], row: SigningKey | None) -> list[str]:
    if row is None:
        return []
    keys = {row.kid: row.public}
    return [
        other.kid
        for other in known.values()
        if other.predecessor == row.kid and _named(other.by_predecessor, keys, "successor") == other.kid
    ]


def _named(statement: str | None, keys: Mapping[str, bytes], what: str) -> str | None:
    """The key id that a statement by one of ``keys`` names as its ``what``."""
    if statement is None:
        return None
    try:
        named = jws.keys_of({"keys": [jws.verify(statement, KEY_TYP, keys).get(what)]})
    except jws.TokenRefused:
        return None
    return next(iter(named), None)
