"""The library's filter is the registry's; two mirrors' filters have nothing in common."""

import random

from lostid.domain import canaries
from lostid.domain.keys import Keyring, mirror_hash
from lostid_client import mirror_filter, mirror_state
from tests.mirror.making import KEYRING, MIRROR, SIZING, bits_of, positions_of, secret_of

OTHER = "key_" + "2" * 32
SMALL = mirror_filter.Sizing(SIZING.slices, SIZING.bits_per_slice)


def tokens(count: int) -> list[bytes]:
    drawn = random.Random(7)
    return [drawn.randbytes(16) for _ in range(count)]


def test_same_bits_as_the_registry() -> None:
    """What is added here and what is added there looks the same, bit for bit, and is found by both."""
    some, others = tokens(400)[:200], tokens(400)[200:]
    theirs, ours = bits_of(some), bytearray(SIZING.bytes)
    mirror_filter.add(ours, SMALL, positions_of(some))
    assert ours == theirs
    contains = mirror_filter.contains_in(ours, SMALL)
    assert all(contains(positions_of([token])) for token in some)
    assert not any(contains(positions_of([token])) for token in others)


def test_same_positions_as_the_registry() -> None:
    """Number to position, from the secret alone, the issuing state included."""
    positions = mirror_filter.Positions(*mirror_state.read_secret(secret_of()))
    for canary in canaries.CANARIES:
        token = KEYRING.token("canary", canary)
        assert positions.of("canary", *canary.material) == positions_of([token])
    assert tuple((canary.type, canary.number) for canary in canaries.CANARIES) == mirror_state.CANARIES


def test_two_mirrors_have_no_bit_in_common_but_by_chance() -> None:
    """The same documents under two mirrors' keys, and under the registry's own: overlaps as of independent draws."""
    some = tokens(1_000)
    keyed = {
        "one": bits_of(some, MIRROR),
        "other": bits_of(some, OTHER),
        "registry": bits_of_positions(b"".join(KEYRING.key_of_token(token) for token in some)),
    }
    for first, second in (("one", "other"), ("one", "registry"), ("other", "registry")):
        a, b = (int.from_bytes(keyed[name], "little") for name in (first, second))
        share = a.bit_count() / SIZING.bits * b.bit_count() / SIZING.bits
        expected, spread = SIZING.bits * share, (SIZING.bits * share * (1 - share)) ** 0.5
        assert abs((a & b).bit_count() - expected) < 6 * spread, (first, second)


def bits_of_positions(positions: bytes) -> bytearray:
    bits = bytearray(SIZING.bytes)
    mirror_filter.add(bits, SMALL, positions)
    return bits


def test_a_mirror_key_tells_nothing_of_the_pepper() -> None:
    """Every mirror, and every registry, has another key; the same one always the same."""
    other = Keyring(b"o" * 32, b"q" * 32, b"s" * 32)
    keys = {KEYRING.mirror_key(MIRROR), KEYRING.mirror_key(OTHER), other.mirror_key(MIRROR)}
    assert len(keys) == 3
    assert KEYRING.mirror_key(MIRROR) in keys
    assert b"p" * 32 not in KEYRING.mirror_secret(MIRROR)
    assert mirror_hash(KEYRING.mirror_key(MIRROR)).digest_size == 16
