"""The simulation can fail: every broken rule is found, by a schedule in which the whole rules keep every promise."""

from dataclasses import replace

import pytest

from tests.simulation.found import FOUND
from tests.simulation.run import run
from tests.simulation.sabotage import Sabotage
from tests.simulation.schedule import Schedule, random_schedule


def _schedules(found: int | Schedule) -> list[Schedule]:
    """A script leaves small delays to chance: twenty of them are tried."""
    return [random_schedule(found)] if isinstance(found, int) else [replace(found, seed=n) for n in range(20)]


@pytest.mark.parametrize("sabotage", Sabotage, ids=lambda sabotage: sabotage.name.lower())
def test_found(sabotage: Sabotage) -> None:
    """With the sabotage the promise is broken, without it none is, in the same schedule."""
    schedules = _schedules(FOUND[sabotage])
    promise = "G5" if sabotage is Sabotage.FILTER_CONVICTS else "G1"
    assert promise in {violation[:2] for schedule in schedules for violation in run(schedule, sabotage).violations}
    assert [run(schedule).violations for schedule in schedules] == [()] * len(schedules)
