"""How much of the log is signed, or read again, in a turn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lostid.log.sequencer import MOST_LEAVES, SIGNED_S, SWEPT_AT_ONCE, SWEPT_S, next_many


@pytest.mark.parametrize(("most", "room_s"), [(SWEPT_AT_ONCE, SWEPT_S), (MOST_LEAVES, SIGNED_S)])
@given(each_s=st.floats(1e-6, 1.0), share=st.floats(0, 1))
def test_share(most: int, room_s: float, each_s: float, share: float) -> None:
    """Whatever an entry costs, turns come to take their share of time and no more, unless a single entry does; and
    entries that cost little are taken as many as may be."""
    entries = max(1, int(share * most))
    for _ in range(14):
        entries = next_many(entries, entries * each_s, most, room_s)
        assert 1 <= entries <= most
    assert entries == 1 or entries * each_s <= room_s * 1.001
    assert entries == most or (entries + 2) * each_s > room_s


def test_nothing_measured() -> None:
    """A turn that took no time at all on the clock."""
    assert next_many(400, 0.0, SWEPT_AT_ONCE, SWEPT_S) == 800
