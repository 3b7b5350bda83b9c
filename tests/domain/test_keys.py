"""Tokens and document keys: two keyed layers, and nothing that serves two purposes."""

import json
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st

from lostid.domain.canonical import Canonical
from lostid.domain.documents import ICAO_PASSPORT
from lostid.domain.keys import ENVIRONMENTS, Keyring, document_key, serial_tag, token
from tests.domain.drawing import KEYRING

SPECIMEN = json.loads((Path(__file__).parent / "specimens" / "keys-v1.json").read_text())
ASCII = st.text(st.characters(max_codepoint=127), max_size=12)
MATERIAL = st.tuples(ASCII, ASCII, ASCII)


@given(MATERIAL, MATERIAL)
def test_injective(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    """Different material has different tokens, also where the parts run together to the same text."""
    assert (token(b"k" * 32, *one) == token(b"k" * 32, *other)) == (one == other)


def test_borders() -> None:
    """No part can lend characters to its neighbour."""
    parts = [("live", "ab", "c"), ("live", "a", "bc"), ("livea", "b", "c"), ("live", "", "abc"), ("", "live", "abc")]
    assert len({token(b"k" * 32, *part) for part in parts}) == len(parts)


def test_state() -> None:
    """The issuing state is part of what is keyed, and cannot run into the number."""
    passports = [
        Canonical(ICAO_PASSPORT, "A1", "UTO"),
        Canonical(ICAO_PASSPORT, "OA1", "UTO"),
        Canonical(ICAO_PASSPORT, "A1"),
    ]
    assert len({KEYRING.key("live", passport) for passport in passports}) == 3


@given(
    st.sampled_from(ENVIRONMENTS), st.text(st.characters(min_codepoint=48, max_codepoint=90), min_size=1, max_size=18)
)
def test_keyring(env: str, number: str) -> None:
    """The keyring makes what the plain functions make, and each environment has keys of its own."""
    canonical = Canonical("cn.passport", number)
    made = token(bytes(range(32)), env, *canonical.material)
    assert KEYRING.token(env, canonical) == made
    assert KEYRING.key(env, canonical) == document_key(bytes(range(32, 64)), made)
    assert len({KEYRING.key(other, canonical) for other in ENVIRONMENTS}) == len(ENVIRONMENTS)


def test_unknown_environment() -> None:
    """An environment that is not one has no keys."""
    with pytest.raises(KeyError):
        KEYRING.key("prod", Canonical("cn.passport", "E12345678"))


def test_purposes() -> None:
    """What is derived for one purpose differs from all the rest, and each secret matters."""
    keyrings = [Keyring(*(bytes([n == m]) * 32 for m in range(3))) for n in range(4)]
    derived = [
        {k.record_tag_key, k.fingerprint_key, k.subkey("other"), k.key_id, *k.check_values().values()} for k in keyrings
    ]
    assert all(len(each) == 7 for each in derived)
    assert len({k.key_id for k in keyrings}) == 3  # the sealing key plays no part in document keys
    assert len({tuple(k.check_values().items()) for k in keyrings}) == 4


def test_serial_tag() -> None:
    """A serial has another tag under each document key, so that two licences cannot be told to share one."""
    tags = {serial_tag(b"t" * 32, bytes([n]) * 16, serial) for n in range(3) for serial in ("A" * 13, "B" * 13)}
    assert len(tags) == 6


def test_sealed() -> None:
    """A sealed token opens for its own document key only."""
    sealed = KEYRING.seal(b"k" * 16, b"t" * 16, b"n" * 12)
    assert KEYRING.unseal(b"k" * 16, sealed) == b"t" * 16
    assert b"t" * 16 not in sealed
    for key, value in (
        (b"l" * 16, sealed),
        (b"k" * 16, sealed[:-1] + bytes([sealed[-1] ^ 1])),
        (b"k" * 16, sealed[:20]),
    ):
        with pytest.raises(InvalidTag):
            KEYRING.unseal(key, value)


def test_secrets_stay() -> None:
    """A keyring shows nothing of its secrets, and takes none that is too short."""
    assert repr(KEYRING) == f"<Keyring {SPECIMEN['key_id']}>"
    with pytest.raises(ValueError, match="the pepper key must have 32 bytes"):
        Keyring(outer=b"o" * 32, pepper=b"p" * 16, sealing=b"s" * 32)


def test_specimen() -> None:
    """Keys made today are those that were stored: a ledger is read for decades."""
    for line in SPECIMEN["documents"]:
        canonical = Canonical(line["type"], line["number"], line["issuing_state"])
        assert KEYRING.token(line["env"], canonical).hex() == line["token"]
        key = KEYRING.key(line["env"], canonical)
        assert key.hex() == line["key"]
        assert KEYRING.serial_tag(key, "3301000000001").hex() == line["serial_tag"]
        assert KEYRING.unseal(key, bytes.fromhex(line["sealed"])).hex() == line["token"]
    assert KEYRING.check_values() == SPECIMEN["check_values"]
    assert KEYRING.fingerprint(b"{}").hex() == SPECIMEN["fingerprint"]
    assert KEYRING.record_tag_key.hex() == SPECIMEN["record_tag_key"]
