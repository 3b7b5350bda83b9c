"""From a report to its covers: what is not to be accepted, decided once, when the report is made."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import partial
from typing import Final

from lostid.domain import gb11643
from lostid.domain.canonical import Canonical
from lostid.domain.covers import Action, Cover, CoverKind, Effect
from lostid.domain.documents import DRIVING_LICENCE, TYPES, DocumentType
from lostid.domain.errors import STRUCTURAL, Refusal
from lostid.domain.instance import MISSING, Instance, day_number, day_of, instance_of
from lostid.domain.keys import serial_tag
from lostid.domain.reasons import REASONS, Reason

# How far ahead of the server's clock an instant may be and still count as now.
_CLOCK_SKEW_MS: Final = 5 * 60 * 1000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST: Final = datetime(1800, 1, 1, tzinfo=UTC)
_REPLACED: Final = "replaced"
_DECEASED: Final = "deceased"


@dataclass(frozen=True, slots=True)
class ReportDecision:
    """What a report puts in force on one document, before it is placed on document keys by `effects_on`."""

    cover: Cover
    narrow: Cover | None
    """THROUGH or ALL_BUT: where earlier open-ended covers end, once `replaced_by` names the good card."""
    serial: str | None
    """The serial that `cover` (and `narrow`) speak of. On a key there is only its tag."""
    types: tuple[str, ...]
    """The types under which the number is covered, the reported one among them."""
    covers_json: dict[str, object]
    """`covers` of the answer. Never the number."""


@dataclass(frozen=True, slots=True)
class _When:
    at_ms: int
    day: date


def decide_cover(
    canonical: Canonical,
    instance: Instance,
    *,
    reason: str,
    effective_at: datetime | date | None,
    replaced_by: Mapping[str, object] | None,
    zone: tzinfo,
    today: date,
    now_ms: int,
) -> ReportDecision:
    """The cover of a report on one document. Raises Refusal; the first that applies, in the contract's order.

    `today` is the day of `now_ms` in `zone`. An instance with several candidate days counts as missing: a report's
    cover is one. Where an instance is named and no `effective_at`, the report takes effect now.
    """
    row, rule = TYPES[canonical.type], REASONS.get(reason)
    if rule is None:
        raise Refusal("value_invalid", "/reason")
    named = _named(row, instance)
    new = None if replaced_by is None else _new_card(replaced_by, canonical, rule, named, today)
    _require_instance(row, rule, named or new)
    if effective_at is None and named is None and new is None:
        raise Refusal("field_missing", "/effective_at")
    when = _when(effective_at, canonical, zone, today, now_ms)
    if named is not None and named.days and named.days[0] > day_number(when.day):
        raise Refusal("instance_after_loss", "/valid_from")
    if when.at_ms > now_ms + _CLOCK_SKEW_MS:
        raise Refusal("in_future", "/effective_at")
    when = _When(min(when.at_ms, now_ms), min(when.day, today))
    return _decision(row, rule, canonical, named, new, when)


def effects_on(
    decision: ReportDecision, *, key: bytes, tag_key: bytes, seq: int, report_id: str, ordinal: int = 0
) -> tuple[Effect, ...]:
    """The effects of the decision on one document key, numbered from `ordinal`.

    The new cover comes before the narrowing; the narrowing leaves it as it is, since both end at the same card.
    """
    tag = None if decision.serial is None else serial_tag(tag_key, key, decision.serial)
    steps = [(Action.ADD, decision.cover)]
    if decision.narrow is not None:
        steps.append((Action.NARROW, decision.narrow))
    return tuple(
        Effect(key, seq, ordinal + place, action, report_id, replace(cover, serial_tag=tag))
        for place, (action, cover) in enumerate(steps)
    )


def decide_report(
    canonical: Canonical,
    instance: Instance,
    aliases: Iterable[Canonical] = (),
    *,
    reason: str,
    effective_at: datetime | date | None,
    replaced_by: Mapping[str, object] | None,
    zone: tzinfo,
    today: date,
    now_ms: int,
) -> tuple[tuple[tuple[Canonical, ReportDecision], ...], dict[str, object]]:
    """A whole report: every document it covers (own number, `also_known_as`, all types after a death), and `covers`.

    No document comes twice. A refusal of an alias points at the alias, unless it is `effective_at` that is
    missing.
    """
    decided_for = partial(decide_cover, reason=reason, effective_at=effective_at, zone=zone, today=today, now_ms=now_ms)
    own = decided_for(canonical, instance, replaced_by=replaced_by)
    decided = [(canonical, own)]
    for place, alias in enumerate(aliases):
        try:
            named, new = _carried_over(canonical, instance, replaced_by, alias, reason)
            decided.append((alias, decided_for(alias, named, replaced_by=new)))
        except Refusal as refusal:
            pointer = refusal.pointer if refusal.code in STRUCTURAL else f"/also_known_as/{place}"
            raise Refusal(refusal.code, pointer, refusal.expected) from None
    documents: dict[tuple[str, str], tuple[Canonical, ReportDecision]] = {}
    for document, decision in decided:
        for type in decision.types:
            under = document.under(type)
            documents.setdefault(under.material, (under, decision))
    types = list(dict.fromkeys(document.type for document, _ in documents.values()))
    return tuple(documents.values()), {**own.covers_json, "types": types}


def _carried_over(
    canonical: Canonical,
    instance: Instance,
    replaced_by: Mapping[str, object] | None,
    alias: Canonical,
    reason: str,
) -> tuple[Instance, Mapping[str, object] | None]:
    """The instance and the new card as they stand for an alias; a count appended to the alias's number goes first.

    A named card is no card of an alias whose cards are told apart by something else: dropping the name would cover
    cards that nobody reported. A death covers every card in any case.
    """
    if TYPES[alias.type].instance == TYPES[canonical.type].instance:
        return instance if alias.issue_no is None else Instance(issue_no=alias.issue_no), replaced_by
    if reason != _DECEASED and (replaced_by is not None or instance != MISSING):
        raise Refusal("instance_not_applicable", "/type")
    return Instance(issue_no=alias.issue_no), None


def _named(row: DocumentType, instance: Instance) -> Instance | None:
    """The one card that the document names, or None."""
    if row.instance == "valid_from":
        return instance if len(instance.days) == 1 else None
    return None if instance.issue_no is None and instance.serial is None else instance


def _new_card(
    replaced_by: Mapping[str, object], canonical: Canonical, rule: Reason, old: Instance | None, today: date
) -> Instance:
    """The card that `replaced_by` names. It must come after some card, and after the old one where that is named."""
    field = TYPES[canonical.type].instance
    if rule.name != _REPLACED or field is None:
        raise Refusal("instance_not_applicable", "/replaced_by")
    for name, value in replaced_by.items():
        if name != field and value is not None:
            raise Refusal("instance_not_applicable", f"/replaced_by/{name}")
    pointer = f"/replaced_by/{field}"
    try:
        new = instance_of({field: replaced_by.get(field)}, canonical._replace(issue_no=None), today)
    except Refusal as refusal:
        raise Refusal(refusal.code, pointer) from None
    if new.serial is not None:
        first = old is not None and old.serial == new.serial
    elif new.points:
        first = new.points[0] == 0 or (old is not None and new.points[0] <= old.points[0])
    else:
        raise Refusal("instance_required", pointer)
    if first:
        raise Refusal("instance_invalid", pointer)
    return new


def _require_instance(row: DocumentType, rule: Reason, named: Instance | None) -> None:
    """A card in hand is named, and so is a replaced one; so is any where a day cannot stand for it (a count)."""
    if row.instance is None or named is not None:
        return
    if rule.card_in_hand or rule.name == _REPLACED or (row.instance == "issue_no" and not rule.number_wide):
        raise Refusal("instance_required", f"/{row.instance}")


def _when(effective_at: datetime | date | None, canonical: Canonical, zone: tzinfo, today: date, now_ms: int) -> _When:
    """The instant and its day in the registry's zone; a date stands for its first moment there."""
    if effective_at is None:
        return _When(now_ms, today)
    if isinstance(effective_at, datetime):
        if effective_at.utcoffset() is None:
            raise ValueError("an instant without an offset")
        early = effective_at < _EARLIEST
        day = today if early or effective_at.year >= date.max.year else effective_at.astimezone(zone).date()
        at = effective_at
    else:
        early = effective_at < _EARLIEST.date()
        day = effective_at
        at = datetime(day.year, day.month, day.day, tzinfo=zone)
    # Nothing in this registry is older, and a cover that ends before the holder's birth would cover nothing.
    if early or (canonical.birth is not None and day < canonical.birth):
        raise Refusal("value_invalid", "/effective_at")
    return _When((at - _EPOCH) // timedelta(milliseconds=1), day)


def _decision(
    row: DocumentType, rule: Reason, canonical: Canonical, named: Instance | None, new: Instance | None, when: _When
) -> ReportDecision:
    types: tuple[str, ...] = (canonical.type,)
    open_ended = False
    kind, watermark, serial = CoverKind.ALL, None, None
    if rule.name == _DECEASED:
        types = _types_of_person(canonical)
    elif row.ordered and new is not None:
        kind, watermark = CoverKind.THROUGH, new.points[0] - 1
    elif row.ordered and named is not None:
        kind, watermark = CoverKind.THROUGH, named.points[0]
    elif row.instance == "valid_from" and not rule.number_wide:
        kind, watermark, open_ended = CoverKind.THROUGH, day_number(when.day), True
    elif new is not None:
        # The next replacement makes another card the good one, so this cover stays open to being cut.
        kind, serial, open_ended = CoverKind.ALL_BUT, new.serial, True
    elif named is not None:
        kind, serial = CoverKind.ONLY, named.serial
    elif row.instance == "card_serial":
        open_ended = not rule.number_wide
    cover = Cover(kind, watermark, None, rule.final, open_ended, rule.name, when.at_ms)
    narrow = None if new is None else cover
    shown = {"types": list(types), **_shown(row, kind, watermark, serial)}
    return ReportDecision(cover, narrow, serial, types, shown)


def _shown(row: DocumentType, kind: CoverKind, watermark: int | None, serial: str | None) -> dict[str, object]:
    """The cover as the answer shows it. A serial is printed on the card and is no document number: it may be shown."""
    if kind is CoverKind.ONLY:
        return {"card_serial": serial}
    if kind is CoverKind.ALL_BUT:
        return {"card_serial_except": serial}
    if kind is CoverKind.ALL or watermark is None:
        return {"all": True}
    if row.instance == "valid_from":
        return {"valid_from_through": day_of(watermark).isoformat()}
    return {"issue_no_through": watermark}


def _types_of_person(canonical: Canonical) -> tuple[str, ...]:
    """Every type that can carry the same 18-character number. Other numbers belong to their own document only."""
    if not gb11643.has_shape(canonical.number):
        return (canonical.type,)
    by_lead = gb11643.type_of(canonical.number)
    return tuple(name for name in TYPES if name in (by_lead, DRIVING_LICENCE))
