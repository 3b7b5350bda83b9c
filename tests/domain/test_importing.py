"""Who may put an import in force, and who may take it back."""

import pytest

from lostid.domain.importing import ALONE, RECEIVED, RECEIVING, RELEASED, WITHDRAWN, Imported, may_release, may_withdraw
from lostid.domain.withdrawal import Actor, Denied

IMPORTER = Actor("key_1", "live", "police", "s-1", "op-1", frozenset(("importer",)))
BOTH = Actor("key_2", "live", "police", "s-2", "op-1", frozenset(("importer", "approver")))
OTHER_IMPORTER = Actor("key_3", "live", "police", "s-3", "op-3", frozenset(("importer",)))
NEIGHBOUR = Actor("key_4", "live", "police", "s-1", "op-4", frozenset(("approver",)))
APPROVER = Actor("key_5", "live", "police", "s-5", "op-5", frozenset(("approver",)))


def imported(
    rows: int,
    state: str = RECEIVED,
    today: int = 0,
    alone: bool = False,
    by: Actor | None = None,
    deaths: bool = False,
) -> Imported:
    return Imported(IMPORTER, state, rows, alone, today, by, deaths)


def code(work: object, *args: object) -> str:
    with pytest.raises(Denied) as denied:
        work(*args)  # type: ignore[operator]
    return denied.value.code


def test_alone() -> None:
    """The importer alone releases so many rows in a day, and not one more, whatever they come in."""
    assert may_release(imported(ALONE), IMPORTER) is True
    assert may_release(imported(1, today=ALONE - 1), IMPORTER) is True
    assert code(may_release, imported(ALONE + 1), IMPORTER) == "cap_reached"
    assert code(may_release, imported(1, today=ALONE), IMPORTER) == "cap_reached"
    assert code(may_release, imported(1), OTHER_IMPORTER) == "cap_reached"


def test_by_two() -> None:
    """Above that another person with the role approver at another station; never the importer with two keys."""
    many = imported(ALONE + 1)
    assert may_release(many, APPROVER) is False
    assert code(may_release, many, BOTH) == "same_person"
    assert code(may_release, many, NEIGHBOUR) == "same_station"
    assert code(may_release, imported(1, RECEIVING), APPROVER) == "import_not_ready"


def test_withdrawal() -> None:
    """What one put in force one takes back; what two put in force two take back."""
    assert may_withdraw(imported(1, RECEIVING), IMPORTER)
    assert may_withdraw(imported(1, RELEASED, alone=True), IMPORTER)
    assert may_withdraw(imported(1, RELEASED, alone=True), APPROVER)
    assert not may_withdraw(imported(1, RELEASED, alone=True), OTHER_IMPORTER)
    assert not may_withdraw(imported(1, RELEASED), APPROVER)
    assert code(may_withdraw, imported(1, RELEASED, by=APPROVER), APPROVER) == "same_person"
    assert code(may_withdraw, imported(1, RELEASED, by=APPROVER), IMPORTER) == "cap_reached"
    assert may_withdraw(imported(1, RELEASED, by=IMPORTER), APPROVER)
    assert may_withdraw(imported(1, RELEASED, by=OTHER_IMPORTER), APPROVER)
    assert code(may_withdraw, imported(1, RELEASED, by=OTHER_IMPORTER), BOTH) == "same_person"  # as the importer
    assert code(may_withdraw, imported(1, RELEASED, by=OTHER_IMPORTER), NEIGHBOUR) == "same_station"
    assert code(may_withdraw, imported(1, WITHDRAWN), IMPORTER) == "import_not_ready"


def test_deaths() -> None:
    """Who reported them alone does not take them back alone, nor does an approver; what is in force for nobody goes."""
    for one in (IMPORTER, APPROVER):
        assert not may_withdraw(imported(1, RELEASED, alone=True, deaths=True), one)
    assert code(may_withdraw, imported(1, RELEASED, alone=True, by=IMPORTER, deaths=True), IMPORTER) == "cap_reached"
    assert may_withdraw(imported(1, RELEASED, alone=True, by=IMPORTER, deaths=True), APPROVER)
    assert may_withdraw(imported(1, RECEIVED, deaths=True), IMPORTER)
