"""More schedules than the test suite runs, one schedule alone, or a search for a seed that finds a sabotage.

python -m tests.simulation --schedules 40000 --jobs 2
python -m tests.simulation --seed 532 --trace
python -m tests.simulation --find ROW_REPLACED --schedules 5000
"""

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.simulation.run import Outcome, run
from tests.simulation.sabotage import Sabotage
from tests.simulation.schedule import random_schedule, with_imports


def by_seed(sabotage: Sabotage | None, imports: bool, seed: int) -> Outcome:
    return run(with_imports(random_schedule(seed)) if imports else random_schedule(seed), sabotage)


def alone(seed: int, sabotage: Sabotage | None, imports: bool, trace: bool) -> int:
    outcome = by_seed(sabotage, imports, seed)
    if trace:
        print(random_schedule(seed))
        for at, *what in outcome.trace:
            print(f"{int(str(at)) / 1e6:12.3f} ms", *what)
    print(f"seed {seed}: {outcome.digest[:16]} {outcome.counts}")
    print(*outcome.violations or ["no violation"], sep="\n")
    return bool(outcome.violations)


def many(seeds: range, imports: bool, jobs: int) -> int:
    counts: Counter[str] = Counter()
    bad = 0
    start = time.monotonic()
    with ProcessPoolExecutor(jobs) as pool:
        for seed, outcome in zip(seeds, pool.map(partial(by_seed, None, imports), seeds, chunksize=50), strict=True):
            counts.update(outcome.counts)
            if outcome.violations:
                bad += 1
                print(f"seed {seed}: {outcome.violations[0]}", flush=True)
    took = time.monotonic() - start
    print(f"{len(seeds)} schedules, {bad} with violations, {took:.0f} s; {dict(counts)}")
    return bool(bad)


def find(sabotage: Sabotage, seeds: range, imports: bool, jobs: int) -> int:
    with ProcessPoolExecutor(jobs) as pool:
        for seed, outcome in zip(
            seeds, pool.map(partial(by_seed, sabotage, imports), seeds, chunksize=20), strict=True
        ):
            if outcome.violations:
                print(f"{sabotage.name}: {seed}  # {outcome.violations[0]}", flush=True)
                pool.shutdown(cancel_futures=True)
                return 0
    print(f"{sabotage.name}: not found in {seeds}")
    return 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--sabotage", choices=[s.name for s in Sabotage])
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--imports", action="store_true", help="every third report is the release of an import")
    parser.add_argument("--find", choices=[*(s.name for s in Sabotage), "ALL"])
    parser.add_argument("--schedules", type=int, default=2_000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    seeds = range(given.start, given.start + given.schedules)
    if given.seed is not None:
        return alone(given.seed, Sabotage[given.sabotage] if given.sabotage else None, given.imports, given.trace)
    if given.find:
        sought = list(Sabotage) if given.find == "ALL" else [Sabotage[given.find]]
        return max(find(sabotage, seeds, given.imports, given.jobs) for sabotage in sought)
    return many(seeds, given.imports, given.jobs)


if __name__ == "__main__":
    sys.exit(main())
