"""Shares: the modest are served at once whatever the greedy ask for, and nobody is for long."""

from hypothesis import given
from hypothesis import strategies as st

from lostid.guard.shares import BURST, Shares

MODEST = ("b", "c", "d", "e")


def window(shares: Shares, asked: dict[str, int], others: dict[str, int]) -> dict[str, int]:
    """Everybody asks; what each of `asked` is served at once. `others` are served from the line."""
    served = dict.fromkeys(asked, 0)
    for tenant, count in asked.items():
        while served[tenant] < count and shares.has_left(tenant):
            shares.count(tenant, 1)
            served[tenant] += 1
    for tenant, count in others.items():
        shares.count(tenant, count)
    shares.next_window()
    return served


def test_nobody_before_anything_was_served() -> None:
    assert not Shares().has_left("a")


def test_the_modest_beside_a_greedy_one() -> None:
    """Four ask for a tenth of what is served each, a fifth tenant for all that is left: they are always served at once,
    and it is not."""
    shares = Shares()
    for _ in range(200):
        window(shares, {}, dict.fromkeys(MODEST, 10) | {"greedy": 60})
    for _ in range(200):
        asked = dict.fromkeys(MODEST, 10)
        assert window(shares, asked, {"greedy": 60}) == asked
        assert not shares.has_left("greedy")


def test_the_modest_in_bursts() -> None:
    """The same where they ask for as much in one window of three."""
    shares = Shares()
    for _ in range(20):
        window(shares, {}, dict.fromkeys(MODEST, 10) | {"greedy": 60})
    for place in range(200):
        asked = dict.fromkeys(MODEST, 30 if place % 3 == 0 else 0)
        assert window(shares, asked, {"greedy": 60}) == asked


def test_who_was_greedy_is_forgiven_after_a_burst() -> None:
    shares = Shares()
    for _ in range(50):
        window(shares, {}, {"a": 1_000, "b": 10})
    assert not shares.has_left("a")
    for _ in range(BURST + 1):
        window(shares, {}, {"b": 10, "c": 1_000})
    assert shares.has_left("a")


@given(st.lists(st.dictionaries(st.sampled_from("abcd"), st.integers(1, 500)), min_size=1, max_size=40))
def test_no_more_at_once_than_was_served(windows: list[dict[str, int]]) -> None:
    """Whatever all ask for, what is served at once is never more than the line's service allowed for: where nothing
    leaves the line, each window's is at most the burst of what came before."""
    shares = Shares()
    for _ in range(10):
        window(shares, {}, {"line": 100})
    before = 100.0
    for asked in windows:
        at_once = sum(window(shares, asked, {}).values())
        assert at_once <= (BURST * before + 1) * max(1, len(asked))
        before = max(before, float(at_once))
