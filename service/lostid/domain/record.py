"""The record: what is in force for one document key, as the fold of its effects."""

from collections.abc import Iterable
from dataclasses import dataclass

from lostid.domain.covers import Action, Cover, Effect, cut


@dataclass(frozen=True, slots=True)
class Record:
    """The covers in force, oldest entry first, each with the report that it comes from."""

    covers: tuple[tuple[str, Cover], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.covers)

    @property
    def reaches(self) -> tuple[Cover, ...]:
        return tuple(cover for _, cover in self.covers)


NOTHING = Record()


def fold(effects: Iterable[Effect]) -> Record:
    """The record after these effects of one document key, in whatever order and however often each is given."""
    ordered = sorted({(effect.seq, effect.ordinal): effect for effect in effects}.items())
    if len({effect.key for _, effect in ordered}) > 1:
        raise ValueError("the effects of more than one document key")
    covers: list[tuple[str, Cover]] = []
    for effect in _in_force([effect for _, effect in ordered]):
        if effect.cover is None:
            continue
        if effect.action is Action.ADD:
            covers.append((effect.report_id, effect.cover))
        else:
            covers = [(report_id, cut(cover, effect.cover)) for report_id, cover in covers]
    return Record(tuple(covers)) if covers else NOTHING


def _in_force(ordered: list[Effect]) -> list[Effect]:
    """The additions and narrowings that no later withdrawal has undone (or whose withdrawal was itself undone)."""
    undone: dict[str, bool] = {}
    standing: list[Effect] = []
    for effect in reversed(ordered):
        if effect.action in (Action.WITHDRAW, Action.QUARANTINE):
            # Read backwards: the last word on a report counts for everything the report did before it.
            undone.setdefault(effect.report_id, effect.action is Action.WITHDRAW)
        elif not undone.get(effect.report_id, False):
            standing.append(effect)
    standing.reverse()
    return standing
