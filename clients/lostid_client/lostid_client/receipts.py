"""Receipts: compact JWS (RFC 7515) signed with Ed25519, verified with the registry's published keys, offline.

Accepted algorithms are exactly "Ed25519" (RFC 9864) and "EdDSA" (RFC 8037) with an Ed25519 key. The key is found by its
RFC 7638 thumbprint among the keys that the caller trusts, never taken from the receipt.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from lostid_client.errors import LostidError, ReceiptRefused

CHECK_RECEIPT = "lostid-check+jwt"
REPORT_RECEIPT = "lostid-report+jwt"
BATCH_RECEIPT = "lostid-batch+jwt"


def verify_receipt(receipt: str, jwks: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims of a receipt of this registry, with its kind as ``typ``.

    Raises:
        ReceiptRefused: malformed, of another kind, signed with an unknown key, or altered.
        LostidError: the extra ``receipts`` is not installed.
    """
    return verified(receipt, jwks, (CHECK_RECEIPT, REPORT_RECEIPT, BATCH_RECEIPT))


def verified(token: str, jwks: Mapping[str, Any], kinds: Sequence[str]) -> dict[str, Any]:
    """The claims of a token of one of these kinds, with its kind as ``typ``; raises as `verify_receipt` does."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as missing:
        raise LostidError("verifying signatures needs: pip install 'lostid-client[receipts]'") from missing

    parts = token.strip().split(".")
    if len(parts) != 3:
        raise ReceiptRefused("not a compact JWS")
    header = _object(parts[0])
    if header.get("alg") not in ("Ed25519", "EdDSA") or set(header) != {"alg", "kid", "typ"}:
        raise ReceiptRefused("not signed the way receipts are signed")
    if header["typ"] not in kinds:
        raise ReceiptRefused("a token of another kind")
    public = _keys(jwks).get(str(header["kid"]))
    if public is None:
        raise ReceiptRefused("signed with a key that is not the registry's")
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(_decode(parts[2]), f"{parts[0]}.{parts[1]}".encode())
    except InvalidSignature:
        raise ReceiptRefused("the signature does not fit") from None
    return {**_object(parts[1]), "typ": header["typ"]}


def _keys(jwks: Mapping[str, Any]) -> dict[str, bytes]:
    keys = {}
    for entry in jwks.get("keys", []):
        if isinstance(entry, dict) and entry.get("kty") == "OKP" and entry.get("crv") == "Ed25519":
            public = _decode(entry.get("x"))
            keys[_thumbprint(public)] = public
    return keys


def _thumbprint(public: bytes) -> str:
    """RFC 7638 section 3."""
    members = {"crv": "Ed25519", "kty": "OKP", "x": _encode(public)}
    return _encode(hashlib.sha256(json.dumps(members, separators=(",", ":")).encode()).digest())


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: object) -> bytes:
    if not isinstance(text, str):
        raise ReceiptRefused("not base64url")
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise ReceiptRefused("not base64url") from None
    if _encode(raw) != text:
        raise ReceiptRefused("not canonical base64url")
    return raw


def _object(part: str) -> dict[str, Any]:
    try:
        value = json.loads(_decode(part))
    except (ValueError, RecursionError):
        raise ReceiptRefused("not JSON") from None
    if not isinstance(value, dict):
        raise ReceiptRefused("not a JSON object")
    return value
