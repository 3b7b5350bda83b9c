"""The schedule: a seed is a run, no claim is shared, and what cannot be played is told and does not end the round."""

import random
import time
from collections.abc import Iterator
from itertools import islice
from typing import cast

from tests.faults.cluster import Cluster
from tests.faults.kinds import Fault
from tests.faults.schedule import AT_ONCE, Played, drawn, play, table

NO_CLUSTER = cast(Cluster, None)  # these faults touch nothing


def faults_of(seed: int, count: int) -> list[tuple[float, str, str]]:
    found = islice(drawn(random.Random(seed), table(lambda seconds: None)), count)
    return [(gap, fault.kind, fault.what) for gap, fault in found]


def test_a_seed_is_a_run() -> None:
    """The same faults with the same parameters, in the same order."""
    assert faults_of(7, 200) == faults_of(7, 200)
    assert faults_of(7, 20) != faults_of(8, 20)


def test_every_kind_comes() -> None:
    """An hour has all of them."""
    assert len({kind for _, kind, _ in faults_of(1, 900)}) == len(table(lambda seconds: None)) >= 15


def test_beside_each_other() -> None:
    """Two at a time, never two with one claim, in the order in which they were drawn; one that fails is told."""
    under_way: list[str] = []
    order: list[int] = []
    most = 0

    def made(number: int, claim: str) -> Fault:
        def steps(cluster: Cluster) -> Iterator[float]:
            nonlocal most
            assert claim not in under_way
            under_way.append(claim)
            order.append(number)
            most = max(most, len(under_way))
            yield 0.03
            under_way.remove(claim)
            if number == 3:
                raise OSError("cannot be played\nnow")

        return Fault(f"kind {number}", claim, frozenset({claim}), steps)

    faults = ((0.0, made(number, claim)) for number, claim in enumerate("aabcabbca" * 100))
    told: list[Played] = []
    play(faults, NO_CLUSTER, time.monotonic() + 0.8, told.append)
    assert under_way == []
    assert order == list(range(len(told)))
    assert most == AT_ONCE
    assert [one.failed for one in told if one.failed] == ["OSError: cannot be played"]
    assert all(one.began < one.ended for one in told)
