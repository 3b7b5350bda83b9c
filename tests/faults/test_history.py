"""The history checker against exhaustive search, and against histories with one planted violation."""

import random
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faults.history import CheckSeen, FinalState, ReportSeen, judge

DOC = "card"
HORIZON = 7

instants = st.integers(0, HORIZON - 1)


@st.composite
def small_reports(draw: st.DrawFn) -> ReportSeen:
    """A report on a clock of few ticks, answered or not, withdrawn or not."""
    invoked = draw(instants)
    completed = draw(st.none() | st.integers(invoked, HORIZON - 1))
    if completed is None or draw(st.booleans()):
        return ReportSeen(DOC, invoked, completed)
    withdrawn = draw(st.integers(completed, HORIZON - 1))
    return ReportSeen(DOC, invoked, completed, withdrawn, draw(st.none() | st.integers(withdrawn, HORIZON - 1)))


@st.composite
def small_checks(draw: st.DrawFn) -> CheckSeen:
    """A check on the same clock."""
    invoked = draw(instants)
    return CheckSeen(DOC, invoked, draw(st.integers(invoked, HORIZON - 1)), draw(st.sampled_from([True, False, None])))


def effects_of(report: ReportSeen) -> list[tuple[float, float]]:
    """Every way in which a report can take effect and end, by definition: half-ticks stand for "between" instants."""
    ticks = [tick / 2 for tick in range(2 * HORIZON + 2)]
    begins = [t for t in ticks if t >= report.invoked and (report.completed is None or t <= report.completed)]
    if report.completed is None:
        begins.append(float("inf"))
    ends = [float("inf")]
    if report.withdrawal_invoked is not None:
        last = report.withdrawal_completed
        ends = [t for t in ticks if t >= report.withdrawal_invoked and (last is None or t <= last)]
        if last is None:
            ends.append(float("inf"))
    return [(begin, end) for begin, end in product(begins, ends) if begin <= end]


def explained(check: CheckSeen, reports: list[ReportSeen]) -> bool:
    """Exhaustive search: some instant of the check and some effect of each report give the answer that was seen."""
    if check.clear is None:
        return True
    for half in range(int(2 * check.invoked), int(2 * check.completed) + 1):
        at = half / 2
        for effects in product(*(effects_of(report) for report in reports)):
            # A report whose effect and check fall on one instant may come before or after it.
            surely = any(begin < at < end for begin, end in effects)
            perhaps = any(begin <= at <= end for begin, end in effects)
            if (check.clear and not surely) or (not check.clear and perhaps):
                return True
    return False


@settings(max_examples=300, deadline=None)
@given(reports=st.lists(small_reports(), max_size=2), check=small_checks())
def test_against_exhaustive_search(reports: list[ReportSeen], check: CheckSeen) -> None:
    """A phantom is called exactly where no effect of the reports explains the refusal, and stale exactly where none
    explains clear; an instant shared by a receipt and a check is read in the checker's stricter way."""
    verdict = judge(reports, [check])
    if check.clear is False:
        assert bool(verdict.phantom) is not explained(check, reports)
    elif check.clear is True:
        # One clock reading for receipt and invocation counts as "sent after": open the check by a quarter tick.
        strict = CheckSeen(DOC, check.invoked, check.completed, True)
        certain = [r.must for r in reports if r.must is not None]
        inside = all(
            any(start <= half / 4 <= end for start, end in certain)
            for half in range(int(4 * strict.invoked), int(4 * strict.completed) + 1)
        )
        assert bool(verdict.stale) is inside
        if not verdict.stale:
            assert explained(check, reports) or any(r.completed == check.invoked for r in reports)
    else:
        assert verdict.kept


@settings(max_examples=300, deadline=None)
@given(reports=st.lists(small_reports(), max_size=2), check=small_checks())
def test_stale_is_never_explained(reports: list[ReportSeen], check: CheckSeen) -> None:
    """What is called stale has no explanation but one in which receipt or withdrawal fall on the very same instant."""
    if check.clear is True and judge(reports, [check]).stale:
        shared = {r.completed for r in reports} | {r.withdrawal_invoked for r in reports}
        open_check = check.invoked not in shared and check.completed not in shared
        assert not (open_check and explained(check, reports))


def honest_history(seed: int) -> tuple[list[ReportSeen], list[CheckSeen], list[FinalState]]:
    """What two hosts that keep the promises would show: each learns of a report at its own time before the receipt."""
    rng = random.Random(seed)
    reports, checks, finals = [], [], []
    for number in range(rng.randrange(1, 12)):
        document = f"card-{number}"
        invoked = rng.uniform(0, 50)
        lands = rng.random() < 0.8
        receipt = invoked + rng.uniform(0.001, 2)
        told = rng.random() < 0.8
        takes_effect = [rng.uniform(invoked, receipt) if lands else float("inf") for _host in range(2)]
        if lands or not told:
            reports.append(ReportSeen(document, invoked, receipt if lands and told else None))
        else:
            takes_effect = [float("inf")] * 2
        for _check in range(rng.randrange(30)):
            begin = rng.choice([rng.uniform(0, 60), invoked, receipt + rng.uniform(0, 0.5)])
            end = begin + rng.uniform(0.0001, 0.5)
            looked = rng.uniform(begin, end)
            clear = None if rng.random() < 0.1 else looked < rng.choice(takes_effect)
            checks.append(CheckSeen(document, begin, end, clear))
        finals.append(FinalState(document, refused=lands))
    return reports, checks, finals


@pytest.mark.parametrize("seed", range(200))
def test_honest_histories_are_kept(seed: int) -> None:
    """No honest history is accused."""
    assert judge(*honest_history(seed)).kept


@pytest.mark.parametrize("seed", range(200))
def test_planted_violations_are_found(seed: int) -> None:
    """One planted violation of each kind is found, and named, in every history."""
    reports, checks, finals = honest_history(seed)
    receipted = ReportSeen("planted", 10.0, 11.0)
    finals.append(FinalState("planted", refused=True))

    stale = CheckSeen("planted", 11.0 + random.Random(seed).uniform(0, 5), 20.0, True)
    assert judge([*reports, receipted], [*checks, stale], finals).stale == [stale]

    phantom = CheckSeen("planted", 9.0, 9.999, False)
    assert judge([*reports, receipted], [*checks, phantom], finals).phantom == [phantom]

    stranger = CheckSeen("never-reported", 1.0, 2.0, False)
    assert judge([*reports, receipted], [*checks, stranger], finals).phantom == [stranger]

    gone = [*finals[:-1], FinalState("planted", refused=False)]
    assert judge([*reports, receipted], checks, gone).lost == ["planted"]


def test_unknown_outcomes_are_possible() -> None:
    """A report nobody knows the outcome of explains a refusal and forbids nothing."""
    unknown = ReportSeen(DOC, 1.0, None)
    checks = [CheckSeen(DOC, 2.0, 3.0, False), CheckSeen(DOC, 4.0, 5.0, True), CheckSeen(DOC, 4.0, 5.0, None)]
    assert judge([unknown], checks, [FinalState(DOC, refused=False)]).kept


def test_tail() -> None:
    """A clear answer asked for before the receipt is no violation; how late it came is told."""
    verdict = judge([ReportSeen(DOC, 1.0, 2.0)], [CheckSeen(DOC, 1.9, 2.75, True)])
    assert verdict.kept
    assert verdict.longest_tail == pytest.approx(0.75)


def test_withdrawn_reports() -> None:
    """After a withdrawal has taken effect a refusal is a phantom; while it is under way both answers are right."""
    report = ReportSeen(DOC, 1.0, 2.0, withdrawal_invoked=5.0, withdrawal_completed=6.0)
    during = [CheckSeen(DOC, 5.1, 5.2, True), CheckSeen(DOC, 5.1, 5.2, False)]
    after = CheckSeen(DOC, 6.1, 6.2, False)
    verdict = judge([report], [*during, after], [FinalState(DOC, refused=False)])
    assert verdict.phantom == [after]
    assert not verdict.stale
    assert not verdict.lost
