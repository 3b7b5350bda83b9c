"""Compact JWS: what we sign verifies, and nothing else does."""

import base64
import json
import random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lostid.log import jws

# RFC 8037 appendix A: the key, and its thumbprint.
RFC8037_PRIVATE = base64.urlsafe_b64decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
RFC8037_X = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
RFC8037_THUMBPRINT = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"

PRIVATE = Ed25519PrivateKey.from_private_bytes(RFC8037_PRIVATE)
PUBLIC = PRIVATE.public_key().public_bytes_raw()
KEYS = {jws.thumbprint(PUBLIC): PUBLIC}
TYP = "lostid-check+jwt"


def encode(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def forged(header: dict[str, object], claims: dict[str, object]) -> str:
    signed = f"{encode(header)}.{encode(claims)}"
    return f"{signed}.{base64.urlsafe_b64encode(PRIVATE.sign(signed.encode())).rstrip(b'=').decode()}"


def test_thumbprint_of_rfc_8037() -> None:
    """The key id of the RFC's key is the RFC's thumbprint."""
    assert jws.jwk(PUBLIC)["x"] == RFC8037_X
    assert jws.thumbprint(PUBLIC) == RFC8037_THUMBPRINT


def test_round_trip() -> None:
    """Claims come back from a token through the published key set."""
    token = jws.sign({"status": "clear", "seq": 7}, TYP, PRIVATE)
    assert jws.verify(token, TYP, jws.keys_of({"keys": [jws.jwk(PUBLIC)]})) == {"status": "clear", "seq": 7}


def test_every_flipped_bit() -> None:
    """No token with any one bit changed verifies."""
    for seed in range(5):
        token = jws.sign({"status": "clear", "n": random.Random(seed).random()}, TYP, PRIVATE).encode()
        for at in range(len(token)):
            for bit in range(8):
                changed = bytearray(token)
                changed[at] ^= 1 << bit
                with pytest.raises(jws.TokenRefused):
                    jws.verify(changed.decode("latin-1"), TYP, KEYS)


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "ed25519"},
        {"kid": "other"},
        {"kid": 7},
        {"typ": "JWT"},
        {"jwk": jws.jwk(PUBLIC)},
        {"crit": ["b64"]},
        {"alg": ["Ed25519"]},
    ],
)
def test_other_headers(header: dict[str, object]) -> None:
    """A right signature under any other header is refused."""
    good: dict[str, object] = {"alg": "Ed25519", "kid": jws.thumbprint(PUBLIC), "typ": TYP}
    jws.verify(forged(good, {}), TYP, KEYS)
    with pytest.raises(jws.TokenRefused):
        jws.verify(forged(good | header, {}), TYP, KEYS)


def test_eddsa_is_accepted() -> None:
    """Tokens written by libraries older than RFC 9864 verify."""
    header: dict[str, object] = {"alg": "EdDSA", "kid": jws.thumbprint(PUBLIC), "typ": TYP}
    assert jws.verify(forged(header, {"a": 1}), TYP, KEYS) == {"a": 1}


def test_key_ids_are_not_believed() -> None:
    """A key set cannot give a stranger's key the id of ours."""
    stranger = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    keys = jws.keys_of({"keys": [jws.jwk(stranger) | {"kid": jws.thumbprint(PUBLIC)}]})
    with pytest.raises(jws.TokenRefused, match="unknown key"):
        jws.verify(jws.sign({}, TYP, PRIVATE), TYP, keys)


@pytest.mark.parametrize("token", ["", "a", "a.b", "a.b.c", "a.b.c.d", "..", "\ud800.." + "a", "a" * 70_000])
def test_not_tokens(token: str) -> None:
    """Anything else is refused with the one exception."""
    with pytest.raises(jws.TokenRefused):
        jws.verify(token, TYP, KEYS)
