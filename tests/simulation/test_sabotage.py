"""The simulation can fail: every broken rule is found, by a schedule in which the whole rules keep every promise."""

from dataclasses import replace

import pytest

from tests.simulation.found import FOUND
from tests.simulation.run import run
from tests.simulation.sabotage import Sabotage
from tests.simulation.schedule import Schedule, random_schedule


def _schedules(found: int | Schedule) -> list[Schedule]:
    """A script leaves small delays to chance: thirty of them are tried."""
    return [random_schedule(found)] if isinstance(found, int) else [replace(found, seed=n) for n in range(30)]


@pytest.mark.parametrize("sabotage", Sabotage, ids=lambda sabotage: sabotage.name.lower())
def test_found(sabotage: Sabotage) -> None:
    """With the sabotage the promise is broken, without it none is, in the same schedule."""
    promise = "G5" if sabotage is Sabotage.FILTER_CONVICTS else "G1"
    for schedule in _schedules(FOUND[sabotage]):
        assert run(schedule).violations == ()
        if promise in {violation[:2] for violation in run(schedule, sabotage).violations}:
            return
    pytest.fail("not found")
