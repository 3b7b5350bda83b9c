"""Rates: what GCRA promises whatever is asked, and the mapped file under several processes."""

import multiprocessing
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lostid.guard.rates import BURST_NS, LONGEST_DEBT_NS, Rates, decide

SECOND = 1_000_000_000


@given(
    st.integers(1, 5000),
    st.lists(st.tuples(st.integers(0, SECOND), st.integers(1, 1000)), min_size=1, max_size=200),
)
def test_mean_holds(rate: int, asked: list[tuple[int, int]]) -> None:
    """Over any time the documents admitted are at most the rate, a second's burst, and one batch on credit."""
    slot, now, admitted, first = 0, 0, 0, None
    largest = 0
    for pause, cost in asked:
        now += pause
        slot, verdict = decide(slot, now, rate, cost)
        if verdict.allowed:
            first = now if first is None else first
            admitted += cost
            largest = max(largest, cost)
            assert admitted <= rate * (now - first + BURST_NS) / SECOND * 1.0001 + largest + 1


@given(st.integers(1, 5000), st.integers(0, 10 * SECOND), st.integers(0, 10 * SECOND), st.integers(1, 1000))
def test_retry_is_true(rate: int, until: int, now: int, cost: int) -> None:
    """Who waits as long as he was told is admitted, and a nanosecond before he is not."""
    slot, verdict = decide(until, now, rate, cost)
    if verdict.allowed:
        return
    assert verdict.retry_ns > 0
    assert decide(slot, now + verdict.retry_ns, rate, cost)[1].allowed
    assert not decide(slot, now + verdict.retry_ns - 1, rate, cost)[1].allowed


def test_remaining() -> None:
    """A second's worth may come at once, and the verdict counts it down."""
    slot, left = 0, []
    for _ in range(6):
        slot, verdict = decide(slot, SECOND, 5, 1)
        left.append(verdict.remaining if verdict.allowed else None)
    assert left == [4, 3, 2, 1, 0, None]


def test_a_slot_of_another_boot() -> None:
    """A time that no debt could reach comes from a clock that has begun anew: it stops nobody."""
    assert decide(LONGEST_DEBT_NS + 2 * SECOND, SECOND, 5, 1)[1].allowed


def _take(run_dir: str, times: int, pipe: Connection) -> None:
    rates = Rates(Path(run_dir))
    pipe.send(sum(rates.take(7, 50, 1, SECOND).allowed for _ in range(times)))


def test_shared(tmp_path: Path) -> None:
    """All workers of a host share one account: fifty a second are fifty, however many processes ask."""
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(2)]
    workers = [context.Process(target=_take, args=(str(tmp_path), 200, child)) for _, child in pipes]
    for worker in workers:
        worker.start()
    admitted = sum(parent.recv() for parent, _ in pipes)
    for worker in workers:
        worker.join()
    assert 50 <= admitted <= 50 + len(workers)  # a lock that was not had in time lets one through, never stops one


@pytest.mark.parametrize("slot", [0, 65_535, 65_536 * 3])
def test_slots(tmp_path: Path, slot: int) -> None:
    """Every key has a place."""
    rates = Rates(tmp_path)
    assert [rates.take(slot, 2, 1, SECOND).allowed for _ in range(3)] == [True, True, False]
    assert Rates(tmp_path).take(slot, 2, 1, SECOND).allowed is False
    rates.close()
