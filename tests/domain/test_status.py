"""The status rule, against a model that counts cards."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lostid.domain.covers import Cover, CoverKind
from lostid.domain.documents import TYPES
from lostid.domain.instance import MISSING, Instance
from lostid.domain.record import NOTHING, Record
from lostid.domain.roles import PURPOSES
from lostid.domain.status import advice, decide, decide_with_reason, needs
from tests.domain.drawing import OTHER_TAG, POINTS, SMALL_INSTANCES, TAGS, covers, small_records

RECORDS = st.lists(covers(), max_size=4).map(lambda drawn: Record(tuple(("rpt", cover) for cover in drawn)))
INSTANCES = st.one_of(
    st.just(MISSING),
    st.sets(st.sampled_from(POINTS), min_size=1, max_size=3).map(lambda days: Instance(days=tuple(sorted(days)))),
    st.sampled_from(POINTS).map(lambda count: Instance(issue_no=count)),
    st.sampled_from([*TAGS, OTHER_TAG]).map(lambda tag: Instance(serial="3301000000001", serial_tag=tag)),
)


def cards_covered(cover: Cover) -> set[object]:
    """Every card there is in this small world that the cover speaks of."""
    world: set[object] = {*POINTS, *TAGS, OTHER_TAG}
    if cover.kind is CoverKind.ALL:
        return world
    if cover.kind is CoverKind.THROUGH:
        return {point for point in POINTS if cover.watermark is not None and point <= cover.watermark}
    if cover.kind is CoverKind.ONLY:
        return {cover.serial_tag}
    return world - {cover.serial_tag, *cover.also_spared}


def verdicts(record: Record, card: object) -> set[tuple[str, bool]]:
    """(yes or maybe, final) of each cover, for one card or for a missing one."""
    said = set()
    for _, cover in record.covers:
        orders = cover.kind is CoverKind.THROUGH
        comparable = cover.kind is CoverKind.ALL or (card in POINTS if orders else isinstance(card, bytes))
        if not comparable:
            said.add(("maybe", cover.final))
        elif cover.kind is CoverKind.ALL or card in cards_covered(cover):
            said.add(("yes", cover.final))
    return said


def model(record: Record, card: object) -> str:
    said = verdicts(record, card)
    if ("yes", True) in said:
        return "void"
    if ("yes", False) in said:
        return "reported"
    return "indeterminate" if said else "clear"


def modelled(record: Record, instance: Instance) -> str:
    said = {model(record, card) for card in instance.points or (instance.serial_tag,)}
    return said.pop() if len(said) == 1 else model(record, None)


def test_small_world() -> None:
    """Any final yes: void; else any reversible yes: reported; else any maybe: indeterminate; else clear."""
    for record in small_records():
        for instance in SMALL_INSTANCES:
            assert decide(record, instance) == modelled(record, instance)


@settings(max_examples=200)
@given(RECORDS, INSTANCES)
def test_rule(record: Record, instance: Instance) -> None:
    """So it is for larger records."""
    assert decide(record, instance) == modelled(record, instance)


@settings(max_examples=200)
@given(RECORDS, INSTANCES)
def test_reason(record: Record, instance: Instance) -> None:
    """The reason shown is that of the earliest among the covers that give the status by themselves."""
    status, reason, effective_at_ms = decide_with_reason(record, instance)
    assert status == decide(record, instance)
    assert (reason is None) == (effective_at_ms is None) == (status == "clear")
    if status == "clear":
        return
    deciding = [cover for _, cover in record.covers if decide(Record((("rpt", cover),)), instance) == status]
    assert effective_at_ms in [cover.effective_at_ms for cover in record.reaches if cover.reason == reason]
    if len(instance.points) < 2:
        assert effective_at_ms == min(cover.effective_at_ms for cover in deciding)


def cover(kind: CoverKind, final: bool, at: int, reason: str, watermark: int | None = None) -> tuple[str, Cover]:
    return "rpt", Cover(kind, watermark, None, final, False, reason, at)


def test_earliest() -> None:
    """Of several that decide, the earliest is shown; one that does not decide is not, however early."""
    record = Record(
        (
            cover(CoverKind.THROUGH, False, 1, "lost", 3),
            cover(CoverKind.THROUGH, True, 5, "replaced", 3),
            cover(CoverKind.ALL, True, 4, "deceased"),
        )
    )
    assert decide_with_reason(record, Instance(days=(2,))) == ("void", "deceased", 4)
    assert decide_with_reason(Record(record.covers[:2]), Instance(days=(2,))) == ("void", "replaced", 5)
    assert decide_with_reason(Record(record.covers[:1]), Instance(days=(2,))) == ("reported", "lost", 1)
    assert decide_with_reason(Record(record.covers[:2]), MISSING) == ("indeterminate", "lost", 1)
    assert decide_with_reason(Record(record.covers[:2]), Instance(days=(3, 4))) == ("indeterminate", "lost", 1)


def test_candidates() -> None:
    """Days that are answered alike give that answer; days that differ count as a missing instance."""
    record = Record((cover(CoverKind.THROUGH, False, 1, "lost", 3),))
    assert decide(record, Instance(days=(2, 3))) == "reported"
    assert decide(record, Instance(days=(4, 5))) == "clear"
    assert decide(record, Instance(days=(3, 4))) == "indeterminate"
    dead = Record((*record.covers, cover(CoverKind.ALL, True, 1, "deceased")))
    assert decide(dead, Instance(days=(3, 4))) == "void"


def test_nothing() -> None:
    """Where nothing is in force, every card is clear, and so is a number without one."""
    assert decide(NOTHING, MISSING) == decide(NOTHING, Instance(days=(1, 2))) == "clear"
    assert not NOTHING


def test_untagged() -> None:
    """A serial that was not tagged is a fault of ours, not an answer."""
    with pytest.raises(ValueError, match="tagged"):
        decide(
            Record((("rpt", Cover(CoverKind.ONLY, None, TAGS[0], False, False, "lost", 0)),)), Instance(serial="A" * 13)
        )


def test_needs() -> None:
    """A caller is told the one field that tells the cards of a type apart."""
    assert {type: needs(type) for type in TYPES} == {
        "cn.resident-id": ["valid_from"],
        "cn.residence-permit": ["valid_from"],
        "cn.foreign-permanent-resident": ["valid_from"],
        "cn.driving-licence": ["card_serial"],
        "cn.hk-macau-permit": ["issue_no"],
        "cn.taiwan-permit": ["issue_no"],
        "cn.passport": [],
        "icao.passport": [],
    }


@given(st.text(), st.text())
def test_advice(status: str, purpose: str) -> None:
    """Only clear goes on; whatever is not known is refused."""
    assert advice(status, purpose) == "refuse"
    assert {advice("clear", each) for each in (*PURPOSES, purpose)} == {"proceed"}
    assert {advice(bad, each) for bad in ("reported", "void") for each in PURPOSES} == {"refuse"}
    assert {each for each in PURPOSES if advice("indeterminate", each) != "provide_instance"} == {"rail.ticketing"}
    assert advice("indeterminate", "rail.ticketing") == "check_at_gate"
