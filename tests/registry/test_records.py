"""What the relay makes of entries: packed records. No server."""

from lostid.domain.covers import Action, Cover, CoverKind, Effect
from lostid.domain.packed import unpack
from lostid.replication.records import value_after
from tests.registry.making import TAG_KEY, key


def only(seq: int) -> Effect:
    """Entry `seq` reports one licence by its serial."""
    cover = Cover(CoverKind.ONLY, None, seq.to_bytes(8, "big"), False, False, "lost", 0)
    return Effect(key(1), seq, 0, Action.ADD, f"rpt_{seq}", cover)


def test_seq() -> None:
    """A record carries the seq of the last entry that touched its key, in whatever order the effects come."""
    value = value_after(key(1), [only(9), only(4)], TAG_KEY)
    assert value is not None
    assert unpack(value, key(1), TAG_KEY).seq == 9


def test_nothing_in_force() -> None:
    """No effects, or all withdrawn: no record."""
    withdrawn = Effect(key(1), 5, 0, Action.WITHDRAW, "rpt_4", None)
    assert value_after(key(1), [], TAG_KEY) is None
    assert value_after(key(1), [only(4), withdrawn], TAG_KEY) is None


def test_too_many_serials() -> None:
    """A document with more serials than the registry keeps has no record there, so that the ledger answers for it."""
    values = [value_after(key(1), [only(seq) for seq in range(1, count)], TAG_KEY) for count in (450, 460, 9_000)]
    assert [value is None for value in values] == [False, True, True]
