"""A thousand receipts of all three kinds, and everything that somebody could make of them: none of it verifies.

Here every bit of one receipt is flipped, and two of each of the others. `LOSTID_EVERY_BIT=1000` flips all bits of all
of them: 8 million verifications, some twenty minutes of one processor (and with `--timeout 0`).
"""

import base64
import hashlib
import hmac
import json
import os
import random
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lostid.log import jws, receipts
from lostid.log.checkpoint import Checkpoint, sign_checkpoint
from lostid.log.receipts import BATCH_TYP, CHECK_TYP, REPORT_TYP, Ground
from lostid_client import ReceiptRefused, verify_receipt

EVERY_BIT = int(os.environ.get("LOSTID_EVERY_BIT", "1"))
SOME_BITS = 2
ORIGIN = "registry.example/lostid"
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = PRIVATE.public_key().public_bytes_raw()
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
KEYS = {jws.thumbprint(PUBLIC): PUBLIC}
JWKS = {"keys": [jws.jwk(PUBLIC)]}
NOTE = sign_checkpoint(Checkpoint(ORIGIN, 7, bytes(32)), PRIVATE)

Receipt = tuple[str, str]
"""(kind, token)."""


def made(seed: int) -> Receipt:
    """A receipt as the registry signs it, with contents drawn at random."""
    choose = random.Random(seed)
    ground = Ground(ORIGIN, choose.randrange(1, 10**7), choose.randbytes(32), NOTE)
    asker = {"org": "bank-7", "key_id": "key_1", "operator": f"desk-{choose.randrange(99)}", "purpose": "bank.loan"}
    as_of = "2026-11-20T09:00:00.000Z"
    kind = (CHECK_TYP, BATCH_TYP, REPORT_TYP)[seed % 3]
    if kind == REPORT_TYP:
        told = {"id": f"rpt_{seed}", "seq": ground.seq, "state": "in_force", "covers": {"types": ["cn.passport"]}}
        reporter = {"org": "police", "station": "st-1", "operator": "officer-1", "reason": "lost"}
        claims = receipts.report_claims(ground, issued_s=1_795_000_000 + seed, told=told, reporter=reporter)
    elif kind == BATCH_TYP:
        items = [(choose.randbytes(32).hex(), choose.choice(("clear", "reported"))) for _ in range(5)]
        claims = receipts.check_claims(
            ground, id_=f"chk_{seed}", issued_s=1_795_000_000, asker=asker,
            document=receipts.batch_root(items), told={"count": 5, "as_of": as_of},
        )  # fmt: skip
    else:
        claims = receipts.check_claims(
            ground, id_=f"chk_{seed}", issued_s=1_795_000_000, asker={**asker, "reference": f"loan-{seed}"},
            document=receipts.document_hash(choose.randbytes(16), ("cn.passport", "E00000000"), ""),
            told={"status": choose.choice(("clear", "reported", "void")), "as_of": as_of},
        )  # fmt: skip
    return kind, jws.sign(claims, kind, PRIVATE)


RECEIPTS = [made(seed) for seed in range(1000)]


def refused(kind: str, token: str) -> bool:
    """By the registry's own reading."""
    try:
        jws.verify(token, kind, KEYS)
    except jws.TokenRefused:
        return True
    return False


def refused_by_all(token: str) -> bool:
    """By the registry's reading, as each kind, and by the client library's."""
    try:
        verify_receipt(token, JWKS)
    except ReceiptRefused:
        return all(refused(kind, token) for kind in (CHECK_TYP, BATCH_TYP, REPORT_TYP))
    return False


def flipped(token: str, bit: int) -> str:
    raw = bytearray(token.encode())
    raw[bit // 8] ^= 1 << bit % 8
    return raw.decode("latin-1")


def decoded(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    parts = [base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in token.split(".")]
    return json.loads(parts[0]), json.loads(parts[1]), parts[2]


def encoded(header: dict[str, Any], claims: dict[str, Any], signature: bytes) -> str:
    raw = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in raw)


def test_as_they_are() -> None:
    """Nothing below would mean anything if they did not verify unchanged."""
    for kind, token in RECEIPTS:
        assert jws.verify(token, kind, KEYS)["iss"] == ORIGIN
        assert verify_receipt(token, JWKS)["typ"] == kind


def test_every_bit() -> None:
    for kind, token in RECEIPTS[:EVERY_BIT]:
        survivors = [bit for bit in range(8 * len(token)) if not refused(kind, flipped(token, bit))]
        assert survivors == []


def test_some_bits_of_all() -> None:
    choose = random.Random(8)
    for _, token in RECEIPTS:
        for bit in choose.sample(range(8 * len(token)), SOME_BITS):
            assert refused_by_all(flipped(token, bit))


def swapped(one: str, other: str) -> Iterator[str]:
    """Parts and single fields of two receipts of the same kind, exchanged."""
    a, b = one.split("."), other.split(".")
    yield ".".join((a[0], b[1], a[2]))
    yield ".".join((a[0], a[1], b[2]))
    header, claims, signature = decoded(one)
    _, others, _ = decoded(other)
    for name in claims:
        if claims[name] != others.get(name):
            yield encoded(header, {**claims, name: others.get(name)}, signature)
            yield encoded(header, {left: value for left, value in claims.items() if left != name}, signature)


def test_swapped_fields() -> None:
    for kind in range(3):
        alike = [token for _, token in RECEIPTS[kind::3]]
        for one, other in pairwise(alike):
            mutants = list(swapped(one, other))
            assert len(mutants) > 8
            sample = mutants if one is alike[0] else mutants[:2] + mutants[2:][:: len(mutants) // 2]
            assert all(refused_by_all(mutant) for mutant in sample)


def unsigned(token: str) -> Iterator[str]:
    """Signed by nobody, with a secret that everybody knows, or by somebody else."""
    header, claims, signature = decoded(token)
    payload = token.split(".")[1]
    for alg in ("none", "None", "NONE"):
        yield encoded({**header, "alg": alg}, claims, b"")
        yield encoded({**header, "alg": alg}, claims, signature)
    public_forms = (PUBLIC, PUBLIC.hex().encode(), jws.jwk(PUBLIC)["x"].encode())
    for secret in public_forms:
        for alg in ("HS256", "Ed25519", "EdDSA"):
            head = base64.urlsafe_b64encode(json.dumps({**header, "alg": alg}).encode()).rstrip(b"=").decode()
            mac = hmac.new(secret, f"{head}.{payload}".encode(), hashlib.sha256).digest()
            yield f"{head}.{payload}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
    foreign = jws.sign(claims, header["typ"], STRANGER)
    yield foreign
    stranger = jws.thumbprint(STRANGER.public_key().public_bytes_raw())
    yield encoded({**header, "kid": stranger}, claims, signature)
    yield encoded(header, claims, decoded(foreign)[2])
    yield encoded({**header, "jwk": jws.jwk(STRANGER.public_key().public_bytes_raw())}, claims, decoded(foreign)[2])
    for kind in {CHECK_TYP, BATCH_TYP, REPORT_TYP} - {header["typ"]}:
        yield encoded({**header, "typ": kind}, claims, signature)


def test_signed_otherwise() -> None:
    for number, (_, token) in enumerate(RECEIPTS):
        mutants = list(unsigned(token))
        assert all(refused_by_all(mutant) for mutant in (mutants if number < 3 else mutants[number % 7 :: 7]))


@pytest.mark.parametrize("number", range(3))
def test_taken_for_another_kind(number: int) -> None:
    """A receipt of a check is none of a batch or a report, though the signature is right."""
    kind, token = RECEIPTS[number]
    for other in {CHECK_TYP, BATCH_TYP, REPORT_TYP} - {kind}:
        assert refused(other, token)
