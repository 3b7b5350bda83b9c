"""Names and places: which bucket, how many, and what a head says. No server."""

from hypothesis import given
from hypothesis import strategies as st

from lostid.registry.buckets import MAX_BITS, MIN_BITS, OVERFULL, Layout, layout_for, overfull
from lostid.registry.head import parse
from lostid.registry.keys import PREFIX

keys = st.binary(min_size=16, max_size=16)


@given(keys, keys, st.integers(0, MAX_BITS))
def test_place(one: bytes, other: bytes, bits: int) -> None:
    """Two document keys lie in the same place only if their first 96 bits are the same, whatever the layout."""
    layout = Layout(bits)
    same = (layout.bucket(one), layout.field(one)) == (layout.bucket(other), layout.field(other))
    assert same == (one[:12] == other[:12])
    assert layout.bucket(one).startswith(PREFIX)


@given(keys, keys, st.integers(0, MAX_BITS))
def test_order(one: bytes, other: bytes, bits: int) -> None:
    """In the order of the keys the records of one bucket come together."""
    layout = Layout(bits)
    assert (layout.bucket(one) <= layout.bucket(other)) or one > other


@given(st.integers(0, 3_000_000_000))
def test_sizing(count: int) -> None:
    """A registry is never filled into a layout that it has outgrown, nor into many more buckets than it needs."""
    bits = layout_for(count).bits
    assert not overfull(count, bits)
    assert bits == MIN_BITS or count > 64 << bits
    assert bits == MAX_BITS or overfull((OVERFULL << bits) + 1, bits)


names = st.sampled_from([b"seq", b"hash", b"bits", b"count", b"fill", b"step", b"done", b"total", b"format", b"x"])
said = st.one_of(st.binary(max_size=40), st.sampled_from([b"1", b"8", b"", b"-1", b"1e3"]))


@given(st.dictionaries(names, said))
def test_head(words: dict[bytes, bytes]) -> None:
    """Whatever stands in the head is read as something; a position only where everything belongs to it."""
    head = parse(words)
    if head.position is not None:
        assert words[b"format"] == b"1"
        assert head.position.hash == words[b"hash"]
        assert not words.get(b"fill")
    assert head.seen == (words.get(b"seq", b""), words.get(b"hash", b""), words.get(b"fill", b""))
