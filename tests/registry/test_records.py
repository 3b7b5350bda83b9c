"""What the relay makes of entries: packed records. No server."""

from collections.abc import Sequence
from dataclasses import replace
from struct import pack

from hypothesis import given
from hypothesis import strategies as st

from lostid.domain.covers import Action, Cover, CoverKind, Effect
from lostid.domain.packed import unpack
from lostid.replication.records import batches, value_after
from tests.domain import drawing
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


def line(effect: Effect) -> bytes:
    """As the ledger gives it (ledger/outline.py)."""
    place = effect.key + pack(">qq", effect.seq, effect.ordinal)
    if effect.cover is None:
        return place + pack(">hh?i", effect.action, 0, False, -1)
    cover = effect.cover
    watermark = -1 if cover.watermark is None else cover.watermark
    return place + pack(">hh?i", effect.action, cover.kind, cover.final, watermark) + (cover.serial_tag or b"")


@st.composite
def documents(draw: st.DrawFn) -> dict[bytes, list[Effect]]:
    """Some documents, most of them with one effect, as in any ledger."""
    found = {}
    for number in range(draw(st.integers(1, 6))):
        effects = [
            replace(effect, key=key(number)) for effect in draw(drawing.effects(draw(st.sampled_from((1, 1, 3)))))
        ]
        if effects:
            first = draw(st.sampled_from((1, 127, 128, 2**40)))
            found[key(number)] = [replace(effect, seq=effect.seq + first) for effect in effects]
    return found


@given(documents(), st.integers(1, 3))
def test_batches(effects: dict[bytes, list[Effect]], at_once: int) -> None:
    """Filled from outlines or packed one by one: the same bytes, in the order of the keys, and nothing else."""
    asked: list[bytes] = []

    def effects_of(keys: Sequence[bytes]) -> dict[bytes, list[Effect]]:
        asked.extend(keys)
        return {key: effects[key] for key in keys}

    keys = sorted(effects)
    outlines = [
        [line(effect) for key in keys[start : start + at_once] for effect in effects[key]]
        for start in range(0, len(keys), at_once)
    ]
    made = list(batches(outlines, effects_of, TAG_KEY))
    one_by_one = [(key, value_after(key, effects[key], TAG_KEY)) for key in keys]
    assert [record for _, records in made for record in records] == [(k, v) for k, v in one_by_one if v is not None]
    assert [seen for seen, _ in made] == [min(len(keys), n) for n in range(at_once, len(keys) + at_once, at_once)]
    simple = [of for of in effects.values() if len(of) == 1 and of[0].action is Action.ADD]
    assert (
        len(asked)
        == len(set(asked))
        <= len(effects) - sum(of[0].cover is not None and of[0].cover.serial_tag is None for of in simple)
    )
