"""How much of the log is read again in a turn."""

from hypothesis import given
from hypothesis import strategies as st

from lostid.log.sequencer import SWEPT_AT_ONCE, SWEPT_S, swept_next


@given(st.floats(1e-6, 1.0), st.integers(1, SWEPT_AT_ONCE))
def test_share(each_s: float, first: int) -> None:
    """Whatever an entry costs, turns come to take their share of time and no more, unless a single entry does; and
    entries that cost little are read as many as may be."""
    entries = first
    for _ in range(12):
        entries = swept_next(entries, entries * each_s)
        assert 1 <= entries <= SWEPT_AT_ONCE
    assert entries == 1 or entries * each_s <= SWEPT_S * 1.001
    assert entries == SWEPT_AT_ONCE or (entries + 2) * each_s > SWEPT_S


def test_nothing_measured() -> None:
    """A turn that took no time at all on the clock."""
    assert swept_next(400, 0.0) == 800
