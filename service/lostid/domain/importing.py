"""Imports: their states, and who may put one in force or take it back.

    receiving --all rows--> received --release--> released --withdrawal--> withdrawn
              --dry run---> checked                        <-----rewind---

Release, withdrawal and rewind are one entry each, and take effect as a whole. What is withdrawn before its release was
in force for nobody; no rewind brings it back.
"""

from dataclasses import dataclass
from typing import Final

from lostid.domain.roles import APPROVER, IMPORTER
from lostid.domain.withdrawal import Actor, Denied

RECEIVING: Final = "receiving"
RECEIVED: Final = "received"
CHECKED: Final = "checked"
RELEASED: Final = "released"
WITHDRAWN: Final = "withdrawn"

ALONE: Final = 10_000
"""So many rows may one person put in force, or take back, alone; within a day, however many imports they come in."""


@dataclass(frozen=True, slots=True)
class Imported:
    """An import as these rules need it."""

    by: Actor
    state: str
    rows: int
    alone: bool
    """Its importer released it alone."""
    alone_today: int
    """Rows that its importer released alone in the last 24 hours, in all imports together."""
    asked_by: Actor | None
    """Who asked that it be withdrawn."""
    deaths: bool = False
    """Rows of it say that somebody died."""
    everywhere: bool = True
    """Every host has its rows, so that the release holds nobody up."""


def may_release(imported: Imported, actor: Actor) -> bool:
    """Whether its importer does it alone, which is counted. Raises Denied."""
    if imported.state != RECEIVED:
        raise Denied("import_not_ready")
    another = _another(imported.by, actor)
    alone = imported.by.same_person(actor) and imported.alone_today + imported.rows <= ALONE
    if not another and not alone:
        raise Denied(_why_not(imported.by, actor))
    if not imported.everywhere:
        raise Denied("import_not_ready")
    return not another


def may_withdraw(imported: Imported, actor: Actor) -> bool:
    """False: this asks for it, and another person has to agree. Raises Denied.

    One person may take back what is in force for nobody, and what one person put in force alone. The rest takes two;
    so do deaths: nobody brings the dead back to life alone, not even who reported them.
    """
    if imported.state == WITHDRAWN:
        raise Denied("import_not_ready")
    if imported.state != RELEASED:
        return True
    if imported.alone and not imported.deaths and (imported.by.same_person(actor) or _another(imported.by, actor)):
        return True
    if imported.asked_by is None:
        return False
    for first in (imported.asked_by, imported.by):  # as with a single report: neither who asked nor who reported
        if not _another(first, actor):
            raise Denied(_why_not(first, actor))
    return True


def _another(first: Actor, second: Actor) -> bool:
    return APPROVER in second.roles and not first.same_person(second) and not first.same_station(second)


def _why_not(first: Actor, second: Actor) -> str:
    if APPROVER not in second.roles:
        return "cap_reached" if IMPORTER in second.roles else "role_missing"
    return "same_person" if first.same_person(second) else "same_station"
