"""The load test's parts: scenarios, arrivals, thresholds, who is asked about, what counts as kept up."""

import itertools
import random
from pathlib import Path

import pytest

from lostid.domain.gb11643 import check_character
from lostid_load import page, results, scenario, thresholds
from lostid_load.outcome import Outcome, Second
from lostid_load.population import Holder, Population, number_of
from lostid_load.schedule import arrivals
from lostid_load.truth import Truth

FILES = sorted((Path(__file__).parents[2] / "loadtest" / "scenarios").glob("*.toml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files(path: Path) -> None:
    """Every scenario that comes along can be read, says what it is about and holds the server to right answers."""
    plan = scenario.load(path)
    assert plan.about[-1] in ".?"
    assert "wrong==0" in plan.thresholds
    assert thresholds.failed(list(plan.thresholds), results.add_up(plan, [Outcome()], 1.0).figures) == []


GOOD = 'about = "x"\nseed = 1\n[mix]\nunreported = 1.0\n[[steps]]\nrate = 5\nseconds = 1\n'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("about = ", "Invalid value"),
        (GOOD.replace("seed", "seeds"), "unknown setting seeds"),
        (GOOD.replace("1.0", "0.9"), "adds up to 1"),
        (GOOD.replace("unreported", "unheard_of"), "the mix is made of"),
        (GOOD.replace("rate = 5", "rate = 0"), "above zero"),
        (GOOD.replace("rate = 5", 'rate = "fast"'), "could not convert"),
        ("seed = 1\n", "mix"),
    ],
)
def test_files_that_are_none(tmp_path: Path, text: str, why: str) -> None:
    """A file that is no scenario is refused with the place and the reason."""
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(scenario.ScenarioRefused, match=rf"mine\.toml: .*{why}"):
        scenario.load(file)


def test_arrivals() -> None:
    """The schedule follows the rate, ends with its step and is the same for the same seed."""
    steps = (scenario.Step(10, 0.001, 200), scenario.Step(10, 200, 200))
    first, second = (list(arrivals(steps, 0.5, random.Random(1))) for _ in range(2))
    assert first == second == sorted(first)
    assert max(first) < 20
    rising, steady = (sum(low <= at < low + 10 for at in first) for low in (0, 10))
    assert 400 < rising < 600
    assert 900 < steady < 1100


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("p99<5ms", True),
        ("p99<4000us", False),
        ("p99 <= 0.0042s", True),
        ("wrong==0", True),
        ("rate>=100/s", True),
        ("driver_cpu<50%", False),
    ],
)
def test_thresholds(text: str, kept: bool) -> None:
    """A threshold is kept or not, in the unit that it names; a broken one says what the figure was."""
    figures = {"p99": 4.2, "wrong": 0.0, "rate": 100.0, "driver_cpu": 0.5}
    broken = thresholds.failed([text], figures)
    assert (broken == []) is kept
    assert kept or broken[0].startswith(f"{text} (was ")


@pytest.mark.parametrize("text", ["p99", "p99<fast", "p98<5ms", "p99<5ms or else", "p99=5ms", ""])
def test_no_thresholds(text: str) -> None:
    """What is no threshold, or is of a figure that no run has, is refused before anything runs."""
    with pytest.raises(thresholds.ThresholdRefused):
        thresholds.failed([text], {"p99": 1.0})


def test_numbers() -> None:
    """The made-up numbers have the check characters that the service computes, and no two are one."""
    serials = [*range(3000), *range(1_500_000, 1_503_000), 29_999_999]
    numbers = [number_of(serial) for serial in serials]
    assert all(check_character(number[:17]) == number[17] for number in numbers)
    assert len(set(numbers)) == len(serials)


def test_populations() -> None:
    """Nobody is in two processes, nor of two kinds, not even in two scenarios: a server may be loaded twice."""

    def everybody(process: int, reported: int) -> dict[str, set[str]]:
        people = Population(process, reported, reported, random.Random(1))
        return {
            "reported": {holder.number for holder in people.reported},
            "replaced": {holder.number for holder in people.replaced},
            "fresh": {people.fresh().number for _ in range(2000)},
            "to_report": {people.to_report().number for _ in range(2000)},
        }

    small, large, other = everybody(0, 10), everybody(0, 2000), everybody(1, 10)
    for (kind, some), (another, more) in itertools.product(small.items(), large.items()):
        assert kind == another or not some & more
    assert not set[str]().union(*large.values()) & set[str]().union(*other.values())


def test_truth() -> None:
    """Clear after the receipt is wrong, and so is a refusal of what nobody reported; in between both are right."""
    truth, holder = Truth(), Holder(number_of(1), "unreported")
    truth.judge(holder, "clear", 1.0)
    truth.asking(holder.number, 2.0)
    truth.judge(holder, "clear", 2.1)
    truth.judge(holder, "reported", 2.1)
    truth.receipt(holder.number, 3.0)
    truth.judge(holder, "reported", 3.1)
    assert truth.wrong == 0
    truth.judge(holder, "clear", 3.1)
    truth.judge(Holder(number_of(2), "replaced"), "reported", 1.0)
    truth.judge(Holder(number_of(3), "no_instance"), "void", 1.0)
    assert (truth.stale, truth.phantom, truth.inexact, truth.wrong) == (1, 1, 1, 3)


def test_highest_rate_sustained() -> None:
    """The ladder's figure is the last rung before the first on which more than one in a hundred was late or lost."""
    steps = tuple(scenario.Step(2, rate, rate) for rate in (10, 20, 40, 80))
    plan = scenario.Scenario("ladder", "", 1, steps, {}, ladder=True)
    lost = {4: 5, 5: 5}
    seconds = [Second(sent=rate, answered=rate - lost.get(at, 0)) for at, rate in enumerate((10, 10, 20, 20, 40, 40))]
    seconds += [Second(sent=80, answered=80)] * 2
    assert results.add_up(plan, [Outcome(seconds=seconds)], 8).figures["sustained"] == 20
    late = [Second(sent=10, answered=10, late=1)] * 8
    assert results.add_up(plan, [Outcome(seconds=late)], 8).figures["sustained"] == 0


def test_bottleneck() -> None:
    """A driver that has no more to give says so, whichever process it is; one that has says nothing."""
    plan = scenario.Scenario("x", "", 1, (scenario.Step(1, 1, 1),), {})

    def said(*outcomes: Outcome) -> str:
        return results.add_up(plan, outcomes, 1.0).bottleneck or ""

    easy = Outcome(cpu_share=0.8, loop_lag_us=19_000)
    assert said(easy, easy) == ""
    assert "used 90% of a core" in said(easy, Outcome(cpu_share=0.9))
    assert "up to 30 ms late" in said(Outcome(loop_lag_us=30_000), easy)


def test_throughput_of_whole_seconds() -> None:
    """What was sent in the rest of a second is no second's throughput: the plot does not end in a collapse."""
    plan = scenario.Scenario("x", "", 1, (scenario.Step(3, 10, 10),), {})
    seconds = [Second(sent=10, answered=10)] * 3
    without, with_ = (
        page.render(results.add_up(plan, [Outcome(seconds=found)], 3.0), [])
        for found in (seconds, [*seconds, Second(sent=1, answered=1)])
    )
    plots = [text[text.index("Requests per second") : text.index("Worst latency")] for text in (without, with_)]
    assert plots[0] == plots[1]
    assert plots[0].count("10/s") == 1
