"""Compact JWS (RFC 7515) with Ed25519, and the keys that verify it (RFC 8037, RFC 7638, RFC 9864).

Signing always writes the fully specified ``alg`` "Ed25519"; verifying also accepts "EdDSA" with an Ed25519 key, as
older libraries write it. Nothing else: no ``none``, no HMAC, no key named by the token itself.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ALGORITHMS = ("Ed25519", "EdDSA")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)
_MAX_TOKEN_CHARS = 65_536


class TokenRefused(Exception):
    """The token is malformed, of another kind, signed with an unknown key, or its signature is wrong."""


@lru_cache(maxsize=64)
def thumbprint(public: bytes) -> str:
    """The key id by RFC 7638 section 3: base64url(SHA-256 of the required members in lexicographic order)."""
    members = {"crv": "Ed25519", "kty": "OKP", "x": _encode(public)}
    return _encode(hashlib.sha256(_json(members)).digest())


def jwk(public: bytes) -> dict[str, str]:
    """The public key as a JSON Web Key (RFC 8037 section 2)."""
    key = {"kty": "OKP", "crv": "Ed25519", "x": _encode(public)}
    return {**key, "kid": thumbprint(public), "use": "sig", "alg": "Ed25519"}


def keys_of(jwks: Mapping[str, Any]) -> dict[str, bytes]:
    """Key id -> 32 bytes of public key, for the Ed25519 keys of a JWK set; their ids are computed, not believed.

    Raises:
        TokenRefused: it is not a JWK set.
    """
    keys: dict[str, bytes] = {}
    entries = jwks.get("keys")
    if not isinstance(entries, list):
        raise TokenRefused("not a JWK set")
    for entry in entries:
        if isinstance(entry, dict) and entry.get("kty") == "OKP" and entry.get("crv") == "Ed25519":
            public = _decode(entry.get("x"))
            if len(public) == 32:
                keys[thumbprint(public)] = public
    return keys


def sign(claims: Mapping[str, Any], typ: str, private: Ed25519PrivateKey) -> str:
    """Return the compact serialisation; the header names alg, kid and typ, nothing else."""
    header = {"alg": "Ed25519", "kid": thumbprint(private.public_key().public_bytes_raw()), "typ": typ}
    signed = f"{_encode(_json(header))}.{_encode(_json(claims))}"
    return f"{signed}.{_encode(private.sign(signed.encode()))}"


def verify(token: str, typ: str, keys: Mapping[str, bytes]) -> dict[str, Any]:
    """Return the claims of a token of kind ``typ`` that one of ``keys`` (key id -> public key) signed.

    Raises:
        TokenRefused: see the class.
    """
    parts = token.split(".") if len(token) <= _MAX_TOKEN_CHARS else []
    if len(parts) != 3:
        raise TokenRefused("not a compact JWS")
    header = _object(parts[0])
    if set(header) != {"alg", "kid", "typ"}:
        raise TokenRefused("the header has other members than alg, kid and typ")
    if header["alg"] not in ALGORITHMS:
        raise TokenRefused("another algorithm than Ed25519")
    if header["typ"] != typ:
        raise TokenRefused("a token of another kind")
    public = keys.get(header["kid"]) if isinstance(header["kid"], str) else None
    if public is None:
        raise TokenRefused("signed with an unknown key")
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(_decode(parts[2]), f"{parts[0]}.{parts[1]}".encode())
    except InvalidSignature:
        raise TokenRefused("the signature does not fit") from None
    return _object(parts[1])


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: object) -> bytes:
    if not isinstance(text, str) or not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        raise TokenRefused("not base64url")
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if _encode(raw) != text:  # unused bits set: one signature must have one spelling
        raise TokenRefused("not canonical base64url")
    return raw


def _object(part: str) -> dict[str, Any]:
    try:
        value = json.loads(_decode(part), object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise TokenRefused("not JSON") from None
    if not isinstance(value, dict):
        raise TokenRefused("not a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a repeated member")
    return value
