"""The record as the fold of its effects: repetition, withdrawal, narrowing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lostid.domain.covers import Action, Cover, CoverKind, Effect
from lostid.domain.record import NOTHING, Record, fold
from tests.domain.drawing import KEY, REPORTS, TAGS, effects

DAY_MS = 86_400_000


def cover(
    kind: CoverKind, point: int | bytes | None = None, *, final: bool = False, open_ended: bool = False, day: int = 0
) -> Cover:
    tag = point if isinstance(point, bytes) else None
    return Cover(kind, point if isinstance(point, int) else None, tag, final, open_ended, "lost", day * DAY_MS)


def lines(*steps: tuple[Action, str, Cover | None]) -> list[Effect]:
    return [Effect(KEY, seq, 0, *step) for seq, step in enumerate(steps, 1)]


ADD, NARROW, WITHDRAW, QUARANTINE = Action
ALL, THROUGH, ONLY, ALL_BUT = CoverKind


@given(st.data(), effects())
def test_repeated(data: st.DataObject, drawn: list[Effect]) -> None:
    """Effects given again, or in another order, change nothing."""
    repeated = data.draw(st.lists(st.sampled_from(drawn))) if drawn else []
    assert fold(data.draw(st.permutations(drawn + repeated))) == fold(drawn)


@settings(max_examples=150)
@given(effects(), st.sampled_from(REPORTS))
def test_withdrawn(drawn: list[Effect], report_id: str) -> None:
    """A withdrawn report is as if it had never been made: its covers go, and so does the narrowing it caused."""
    withdrawn = [*drawn, Effect(KEY, len(drawn) + 1, 0, WITHDRAW, report_id, None)]
    assert fold(withdrawn) == fold([effect for effect in drawn if effect.report_id != report_id])


@settings(max_examples=150)
@given(effects(), st.sampled_from(REPORTS))
def test_quarantined(drawn: list[Effect], report_id: str) -> None:
    """A quarantined withdrawal is as if it had never been approved."""
    quarantined = [*drawn, Effect(KEY, len(drawn) + 1, 0, QUARANTINE, report_id, None)]
    undone = [effect for effect in drawn if effect.report_id != report_id or effect.action in (ADD, NARROW)]
    assert fold(quarantined) == fold(undone)


@given(effects())
def test_no_more(drawn: list[Effect]) -> None:
    """Nothing is in force but what was added, and by the report that added it."""
    added = [(effect.report_id, effect.cover.reason) for effect in drawn if effect.cover and effect.action is ADD]
    for report_id, standing in fold(drawn).covers:
        assert (report_id, standing.reason) in added


def test_withdrawal_in_time() -> None:
    """A withdrawal speaks of what came before it; what the same report adds later stands."""
    record = fold(lines((ADD, "rpt", cover(ALL)), (WITHDRAW, "rpt", None), (ADD, "rpt", cover(ONLY, TAGS[0]))))
    assert record == Record((("rpt", cover(ONLY, TAGS[0])),))


def test_withdrawn_twice() -> None:
    """A withdrawal may be quarantined and approved anew."""
    steps = [(ADD, "rpt", cover(ALL)), (WITHDRAW, "rpt", None), (QUARANTINE, "rpt", None), (WITHDRAW, "rpt", None)]
    assert [bool(fold(lines(*steps[:n]))) for n in range(1, 5)] == [True, False, True, False]


def test_narrowed() -> None:
    """The good card ends open-ended covers before it, reversible or final; not those that named a card."""
    found = fold(
        lines(
            (ADD, "open", cover(THROUGH, 9, open_ended=True)),
            (ADD, "final", cover(THROUGH, 8, open_ended=True, final=True)),
            (ADD, "short", cover(THROUGH, 3, open_ended=True)),
            (ADD, "named", cover(THROUGH, 9)),
            (NARROW, "new", cover(THROUGH, 5, final=True)),
            (ADD, "later", cover(THROUGH, 9, open_ended=True)),
        )
    )
    assert {name: standing.watermark for name, standing in found.covers} == {
        "open": 5,
        "final": 5,
        "short": 3,
        "named": 9,
        "later": 9,
    }


def test_narrowing_withdrawn() -> None:
    """With the report that named the good card its narrowing goes: the older report reaches as far as it did."""
    made = lines(
        (ADD, "lost", cover(THROUGH, 9, open_ended=True)),
        (ADD, "replaced", cover(THROUGH, 5, final=True)),
        (NARROW, "replaced", cover(THROUGH, 5, final=True)),
    )
    assert fold(made).reaches[0].watermark == 5
    assert fold([*made, Effect(KEY, 4, 0, WITHDRAW, "replaced", None)]) == fold(made[:1])


@pytest.mark.parametrize(("lost", "reaches"), [(4, 5), (5, 5), (6, 9), (7, 9)])
def test_old_replacement(lost: int, reaches: int) -> None:
    """A replacement of day 5, recorded late, does not undo the report of a later loss; within a day it does."""
    found = fold(
        lines((ADD, "lost", cover(THROUGH, 9, open_ended=True, day=lost)), (NARROW, "new", cover(THROUGH, 5, day=5)))
    )
    assert found.reaches[0].watermark == reaches


def test_licences() -> None:
    """Each good licence that is named is spared by the earlier reports, and by them alone."""
    a, b, _ = TAGS
    found = fold(
        lines(
            (ADD, "lost", cover(ALL, open_ended=True)),
            (ADD, "first", cover(ALL_BUT, a, final=True, open_ended=True)),
            (NARROW, "first", cover(ALL_BUT, a, final=True)),
            (ADD, "second", cover(ALL_BUT, b, final=True, open_ended=True)),
            (NARROW, "second", cover(ALL_BUT, b, final=True)),
        )
    )
    assert [(c.kind, c.serial_tag, c.also_spared) for c in found.reaches] == [
        (ALL_BUT, a, (b,)),
        (ALL_BUT, a, (b,)),
        (ALL_BUT, b, ()),
    ]


def test_named_twice() -> None:
    """A good licence that is named again is spared once."""
    a, b, _ = TAGS
    steps = [
        (ADD, "lost", cover(ALL, open_ended=True)),
        *((NARROW, "new", cover(ALL_BUT, tag)) for tag in (a, b, b, a)),
    ]
    (left,) = fold(lines(*steps)).reaches
    assert (left.serial_tag, left.also_spared) == (a, (b,))


def test_nothing() -> None:
    """No effects, or none that stands: nothing is in force."""
    assert fold([]) is NOTHING
    assert fold(lines((WITHDRAW, "rpt", None), (NARROW, "rpt", cover(THROUGH, 1)))) is NOTHING


def test_one_key() -> None:
    """The effects of two documents are never folded into one record."""
    mixed = [Effect(bytes([n]) * 16, n, 0, ADD, "rpt", cover(ALL)) for n in (1, 2)]
    with pytest.raises(ValueError, match="more than one"):
        fold(mixed)
