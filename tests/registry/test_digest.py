"""What a comparison of Redis with the ledger is made of: sums, places, sealed totals."""

import pytest

from lostid.domain.position import Position
from lostid.registry.buckets import Layout
from lostid.registry.digest import SetDigest
from lostid.replication import total
from tests.registry.making import key


def test_digest_in_any_order() -> None:
    """A sum over places and records: order does not matter, everything else does; nothing adds nothing."""
    digest = SetDigest(bytes(32))
    members = [(key(n)[:12], b"record %d" % n) for n in range(20)]
    assert digest.of_all(members) == digest.of_all(reversed(members))
    assert digest.of_all([]) == digest.of(key(1)[:12], None) == 0
    whole = digest.of_all(members)
    assert whole != digest.of_all(members[1:])
    assert whole != digest.of_all([(members[0][0], members[1][1]), (members[1][0], members[0][1]), *members[2:]])
    assert whole != SetDigest(bytes([1] * 32)).of_all(members)
    assert (digest.of_all(members[1:]) + digest.of(*members[0])) % (1 << 128) == whole


@pytest.mark.parametrize("bits", [8, 9, 13, 16, 20, 24])
def test_places(bits: int) -> None:
    """A bucket's bounds hold its keys and no others; a field gives the key's first 12 bytes back."""
    layout = Layout(bits)
    for number in range(50):
        one = key(number)
        index = layout.index(one)
        first, last = layout.bounds(index)
        assert first <= one <= last
        assert layout.name(index) == layout.bucket(one)
        assert layout.place(index, layout.field(one)) == one[:12]
        assert layout.place(index ^ 1, layout.field(one)) != one[:12]
        assert layout.place(index, layout.field(one) + b"x") is None
    assert layout.bounds(layout.buckets - 1)[1] == b"\xff" * 16


def test_seal() -> None:
    """A total opens for its own entry and key only, whole."""
    at, secret = Position(7, b"h" * 32), bytes(32)
    sealed = total.seal(secret, at, 1 << 127)
    assert total.unseal(secret, at, sealed) == 1 << 127
    assert total.unseal(secret, Position(8, b"h" * 32), sealed) is None
    assert total.unseal(bytes([1] * 32), at, sealed) is None
    assert total.unseal(secret, at, sealed[:-1] + b"\x00") is None
    assert total.unseal(secret, at, b"") is None
