"""The promises under 2,000 random schedules (LOSTID_SCHEDULES for more; `python -m tests.simulation` for one alone)."""

import os
import subprocess
import sys
from collections import Counter

import pytest

from tests.simulation.run import run
from tests.simulation.schedule import MS, SECOND, Report, Schedule, random_schedule, with_imports

SCHEDULES = int(os.environ.get("LOSTID_SCHEDULES", "2000"))
SLICES = 8


@pytest.mark.timeout(60 + SCHEDULES)
@pytest.mark.parametrize("slice_", range(SLICES))
def test_promises(slice_: int) -> None:
    """G1, G3 and G5 hold in every schedule, and the checks come close enough to receipts to show it."""
    seeds = range(slice_, SCHEDULES, SLICES)
    counts: Counter[str] = Counter()
    violations = {}
    for seed in seeds:
        outcome = run(random_schedule(seed))
        counts.update(outcome.counts)
        if outcome.violations:
            violations[seed] = outcome.violations[0]
    assert not violations
    assert counts["near"] > 30 * len(seeds)
    assert counts["clear"] > 10 * len(seeds)
    assert counts["receipts"] > 5 * len(seeds)


@pytest.mark.timeout(60 + SCHEDULES)
def test_imports() -> None:
    """The same where every third report is the release of an import, on documents that others report as well."""
    counts: Counter[str] = Counter()
    for seed in range(SCHEDULES // 20):
        outcome = run(with_imports(random_schedule(seed)))
        assert not outcome.violations, seed
        counts.update(outcome.counts)
    assert counts["near"] > 30 * (SCHEDULES // 20)


def test_calm() -> None:
    """Where nothing goes wrong every report has its receipt at once, and no check is refused as unproven."""
    reports = tuple(Report(at, at // MS % 2, 0, at // MS) for at in range(SECOND, 5 * SECOND, 97 * MS))
    outcome = run(Schedule(seed=1, base=((0, 5), (3, 5)), phantoms=(1_000,), reports=reports))
    waited = sorted(event[0] - event[4] * MS for event in outcome.trace if event[1] == "receipt")
    assert outcome.violations == ()
    assert len(waited) == len(reports)
    assert waited[len(waited) // 2] < 10 * MS
    assert waited[-1] < 100 * MS
    assert "503" not in outcome.counts


def test_replay() -> None:
    """A seed replays bit by bit, also in another process with another hash seed; another seed does not."""
    digests = set()
    for hash_seed in ("1", "2"):
        command = [sys.executable, "-m", "tests.simulation", "--seed", "12"]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
        digests.add(said.split()[2])
    assert digests == {run(random_schedule(12)).digest[:16]}
    assert run(random_schedule(13)).digest[:16] not in digests
