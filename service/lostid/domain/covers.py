"""Covers and effects: what a report says is not to be accepted, and how entries change that for one document key.

A cover is fixed when its report is made and stored in its entry; nothing computes it again. Effects are append-only:
they are what the ledger's `covers` table holds and what the chain's hash covers.
Their fold is the record (`record.py`).
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final, Protocol

_DAY_MS: Final = 86_400_000


class CoverKind(IntEnum):
    ALL = 1
    THROUGH = 2
    ONLY = 3
    ALL_BUT = 4


class Reach(Protocol):
    """As much of a cover as a status needs; a packed record keeps no more."""

    @property
    def kind(self) -> CoverKind: ...
    @property
    def watermark(self) -> int | None: ...
    @property
    def serial_tag(self) -> bytes | None: ...
    @property
    def also_spared(self) -> tuple[bytes, ...]: ...
    @property
    def final(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Cover:
    """What one report covers on one document key, and why."""

    kind: CoverKind
    watermark: int | None
    """THROUGH: the last day number or issue number that is covered."""
    serial_tag: bytes | None
    """ONLY, ALL_BUT: the keyed tag of the card's serial under this document key."""
    final: bool
    open_ended: bool
    """No card was named, so it reaches cards that may turn out to be good: a later `replaced_by` cuts it."""
    reason: str
    effective_at_ms: int
    also_spared: tuple[bytes, ...] = ()
    """ALL_BUT: further good cards, named later. Set by the fold alone, never stored."""


class Action(IntEnum):
    ADD = 1
    NARROW = 2
    WITHDRAW = 3
    QUARANTINE = 4


@dataclass(frozen=True, slots=True)
class Effect:
    """What one entry does to one document key.

    ADD         the cover is in force.
    NARROW      earlier open-ended covers end where this cover ends (`cut`).
    WITHDRAW    what the named report did to the key before is undone: its covers, and the narrowing it caused.
    QUARANTINE  earlier withdrawals of the named report are undone: it is in force again.
    """

    key: bytes
    seq: int
    ordinal: int
    action: Action
    report_id: str
    cover: Cover | None


def cut(cover: Cover, by: Cover) -> Cover:
    """What is left of an earlier cover once a report has named the good card; `by` is THROUGH or ALL_BUT.

    A card that replaced another before the loss says nothing about the card that was lost then: a cover is left as it
    is where its `effective_at` is a day or more after that of the naming report. (A day, because a date stands for its
    first moment.) Otherwise recording an old replacement late would quietly undo a newer report.
    """
    if not cover.open_ended or cover.effective_at_ms >= by.effective_at_ms + _DAY_MS:
        return cover
    if by.kind is CoverKind.THROUGH:
        return _cut_through(cover, by)
    return _spare(cover, by)


def _cut_through(cover: Cover, by: Cover) -> Cover:
    if by.watermark is None or (cover.watermark is not None and cover.watermark <= by.watermark):
        return cover
    return replace(cover, kind=CoverKind.THROUGH, watermark=by.watermark)


def _spare(cover: Cover, by: Cover) -> Cover:
    if cover.kind is CoverKind.ALL:
        return replace(cover, kind=CoverKind.ALL_BUT, serial_tag=by.serial_tag)
    # A licence named good earlier stays spared by this report: whether it is good is for the naming report to say.
    if by.serial_tag is None or by.serial_tag == cover.serial_tag or by.serial_tag in cover.also_spared:
        return cover
    return replace(cover, also_spared=(*cover.also_spared, by.serial_tag))
