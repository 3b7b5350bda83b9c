"""A registry that signs, for mirrors' tests: the server's own filter and signatures, no process and no line."""

import base64
import hashlib
from collections.abc import Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lostid.domain.canaries import canary_tokens
from lostid.domain.canonical import canonicalise
from lostid.domain.keys import Keyring, mirror_check, mirror_hash
from lostid.filter.bloom import MappedBloom, Sizing
from lostid.log import jws, receipts
from lostid_client import Document
from lostid_client.mirror_state import Copy, MirrorState
from tests.clients import desks

KEYRING = Keyring(b"o" * 32, b"p" * 32, b"s" * 32)
MIRROR = "key_" + "1" * 32
SIZING = Sizing.of(1_000)
HASH = "aa" * 32
AT = "2026-11-22T21:00:00.000Z"


def secret_of(mirror: str = MIRROR) -> str:
    return "lid_mirror_" + base64.urlsafe_b64encode(KEYRING.mirror_secret(mirror)).decode().rstrip("=")


def token_of(document: Document) -> bytes:
    read = canonicalise(document.type, document.number, document.issuing_state, desks.TODAY)
    return KEYRING.token("live", read)


def positions_of(tokens: Sequence[bytes], mirror: str = MIRROR) -> bytes:
    found = []
    for token in tokens:
        made = mirror_hash(KEYRING.mirror_key(mirror))
        made.update(token)
        found.append(made.digest())
    return b"".join(found)


def bits_of(tokens: Sequence[bytes], mirror: str = MIRROR) -> bytearray:
    bits = bytearray(SIZING.bytes)
    MappedBloom(memoryview(bits), SIZING).add_many(positions_of(tokens, mirror))
    return bits


class Registry:
    """Signs snapshots and statements; `more` overrides what they claim."""

    def __init__(self) -> None:
        self._private = Ed25519PrivateKey.generate()
        self.jwks = {"keys": [jws.jwk(self._private.public_key().public_bytes_raw())]}

    def snapshot(self, *documents: Document, mirror: str = MIRROR, **more: Any) -> bytes:
        tokens = [token_of(document) for document in documents]
        bits = bytes(bits_of([*canary_tokens(KEYRING).values(), *tokens], mirror))
        claims = {
            "mirror": mirror,
            "key_check": mirror_check(KEYRING.mirror_key(mirror)),
            "seq": 10,
            "hash": HASH,
            "as_of": AT,
            "documents": len(documents),
            "capacity": SIZING.capacity,
            "slices": SIZING.slices,
            "bits_per_slice": SIZING.bits_per_slice,
            "bytes": len(bits),
            "sha256": hashlib.sha256(bits).hexdigest(),
        }
        return jws.sign(claims | more, receipts.SNAPSHOT_TYP, self._private).encode() + b"\n" + bits

    def changes(self, copy: Copy, *documents: Document, nonce: str = "n" * 20, **more: Any) -> dict[str, str]:
        positions = positions_of([token_of(document) for document in documents])
        claims = {
            "mirror": MIRROR,
            "key_check": mirror_check(KEYRING.mirror_key(MIRROR)),
            "nonce": nonce,
            "since": copy.seq,
            "origin": copy.hash,
            "seq": copy.seq + len(documents),
            "hash": copy.hash[:-2] + "bb" if documents else copy.hash,
            "more": False,
            "as_of": AT,
            "waited_ms": 0,
            "sha256": hashlib.sha256(positions).hexdigest(),
        }
        statement = jws.sign(claims | more, receipts.CHANGES_TYP, self._private)
        return {"statement": statement, "positions": base64.b64encode(positions).decode()}


class Hands:
    """A clock that is turned, and a state that reads it."""

    def __init__(self, max_age_s: float = 30.0, mirror: str = MIRROR) -> None:
        self.now = 1000.0
        self.state = MirrorState(secret_of(mirror), max_age_s, lambda: self.now)
