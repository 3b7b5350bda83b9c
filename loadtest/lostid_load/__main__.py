"""``python -m lostid_load SCENARIO``: run it, show it, write it down; the exit code says whether thresholds held."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.live import Live
from rich.table import Table

from lostid_load import fleet, page, results, scenario, server, thresholds
from lostid_load.outcome import Outcome, Target

_SCENARIOS = Path(__file__).resolve().parent.parent / "scenarios"
_LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0 all kept; 1 a threshold broken; 2 usage; 3 no server."""
    options = _parser().parse_args(arguments)
    console = Console(stderr=True)
    try:
        plan = _plan(options)
        limits = [*plan.thresholds, *options.threshold]
        thresholds.failed(limits, dict.fromkeys(_FIGURES, 0.0))
        with _target(options) as target:
            outcomes, elapsed = _run(plan, target, console)
    except (scenario.ScenarioRefused, thresholds.ThresholdRefused, argparse.ArgumentTypeError) as refused:
        console.print(f"lostid-load: {refused}")
        return 2
    except (server.ServerFailed, fleet.FleetFailed, OSError) as failed:
        console.print(f"lostid-load: {failed}")
        return 3
    result = results.add_up(plan, outcomes, elapsed)
    broken = thresholds.failed(limits, result.figures)
    _write(result, broken, Path(options.out))
    _show(result, broken, console, Path(options.out))
    if options.json:
        sys.stdout.write(json.dumps(_as_json(result, broken)) + "\n")
    return 1 if broken else 0


_FIGURES = results.add_up(
    scenario.Scenario("none", "", 0, (scenario.Step(1, 1, 1),), {}), [Outcome()], 1.0
).figures.keys()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lostid-load", description=__doc__)
    names = ", ".join(sorted(path.stem for path in _SCENARIOS.glob("*.toml")))
    parser.add_argument("scenario", help=f"a scenario file, or one of {names}")
    parser.add_argument("--url", help="a server on this machine; without it one is started for the run")
    parser.add_argument("--workers", type=int, default=1, help="workers of the server that is started (1)")
    parser.add_argument("--processes", type=int, help="driver processes, one per core")
    parser.add_argument("--seconds", type=float, help="shorten or stretch the whole scenario to this length")
    parser.add_argument("--rate", type=float, help="multiply all rates by this")
    parser.add_argument("--seed", type=int, help="another seed than the file's")
    parser.add_argument("--threshold", action="append", default=[], help="e.g. 'p99<5ms'; may be repeated")
    parser.add_argument("--out", default="loadtest-results", help="folder for JSON, .hgrm and page")
    parser.add_argument("--json", action="store_true", help="print the result as JSON as well")
    return parser


def _plan(options: argparse.Namespace) -> scenario.Scenario:
    path = Path(options.scenario)
    plan = scenario.load(path if path.suffix == ".toml" else _SCENARIOS / f"{options.scenario}.toml")
    stretch = options.seconds / plan.seconds if options.seconds else 1.0
    faster = options.rate or 1.0
    steps = tuple(
        scenario.Step(step.seconds * stretch, step.from_rate * faster, step.to_rate * faster) for step in plan.steps
    )
    return dataclasses.replace(
        plan,
        steps=steps,
        processes=options.processes or plan.processes,
        seed=plan.seed if options.seed is None else options.seed,
    )


def _target(options: argparse.Namespace) -> Any:
    if options.url is None:
        return server.serving(options.workers)
    url = urlsplit(options.url)
    if url.hostname not in _LOCAL:
        raise argparse.ArgumentTypeError("a load test talks to this machine only: http://127.0.0.1:PORT")
    try:
        keys = os.environ["LOSTID_KEY"], os.environ["LOSTID_REPORTER_KEY"]
    except KeyError as missing:
        raise argparse.ArgumentTypeError(f"--url needs keys: set {missing} in the environment") from None
    reporter = os.environ.get("LOSTID_REPORTER", "load-1")
    return nullcontext(Target(url.hostname or "127.0.0.1", url.port or 80, *keys, reporter=reporter))


def _run(plan: scenario.Scenario, target: Target, console: Console) -> tuple[list[Outcome], float]:
    latest: dict[int, Outcome] = {}
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        live.update(f"{plan.name}: preparing {plan.processes * (plan.reported + plan.replaced)} reports")

        def progress(index: int, outcome: Outcome) -> None:
            latest[index] = outcome
            live.update(_progress_table(plan, latest))

        return fleet.run(plan, target, progress)


def _progress_table(plan: scenario.Scenario, latest: dict[int, Outcome]) -> Table:
    table = Table("scenario", "answered/s", "refused/s", "failed/s", "worst", "checks", "wrong")
    seconds = [outcome.seconds[0] for outcome in latest.values() if outcome.seconds]
    table.add_row(
        plan.name,
        f"{sum(second.answered for second in seconds):,}",
        f"{sum(second.refused for second in seconds):,}",
        f"{sum(second.failed for second in seconds):,}",
        f"{max((second.worst_us for second in seconds), default=0) / 1000:.1f} ms",
        f"{sum(outcome.documents for outcome in latest.values()):,}",
        str(sum(outcome.truth.wrong for outcome in latest.values())),
    )
    return table


def _write(result: results.Result, broken: list[str], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    name = result.scenario.name
    (out / f"{name}.json").write_text(json.dumps(_as_json(result, broken), indent=1) + "\n", encoding="utf-8")
    (out / f"{name}.html").write_text(page.render(result, broken), encoding="utf-8")
    with (out / f"{name}.hgrm").open("wb") as file:
        result.checks.output_percentile_distribution(file, 1000.0)


def _as_json(result: results.Result, broken: list[str]) -> dict[str, Any]:
    return {
        "scenario": dataclasses.asdict(result.scenario),
        "figures": result.figures,
        "statuses": result.statuses,
        "seconds": [dataclasses.asdict(second) for second in result.seconds],
        "wrong": result.wrong,
        "steps": [{**dataclasses.asdict(step), "sustained": step.sustained} for step in result.steps],
        "bottleneck": result.bottleneck,
        "thresholds_broken": broken,
    }


def _show(result: results.Result, broken: list[str], console: Console, out: Path) -> None:
    figures = result.figures
    table = Table("", "p50", "p90", "p99", "p99.9", "max", "count", title=result.scenario.name)
    rows = (
        ("check", "p", result.checks),
        ("receipt", "receipt_p", result.reports),
        ("refused everywhere", "everywhere_p", result.everywhere),
    )
    for label, prefix, histogram in rows:
        if count := histogram.get_total_count():
            row = [f"{figures[prefix + q]:.2f} ms" for q in ("50", "90", "99", "99.9", "max")]
            table.add_row(label, *row, f"{count:,}")
    console.print(table)
    console.print(
        f"{figures['checks']:,.0f} checks at {figures['checks_rate']:,.0f}/s, {figures['wrong']:.0f} wrong, "
        f"{figures['refused']:.0f} refused, {figures['failed'] + figures['unfinished']:.0f} failed; "
        f"page: {out / (result.scenario.name + '.html')}"
    )
    if result.scenario.ladder:
        console.print(f"highest rate that was sustained: {figures['sustained']:,.0f} checks/s")
    for line in [result.bottleneck, *result.wrong, *(f"not kept: {text}" for text in broken)]:
        if line:
            console.print(line)


if __name__ == "__main__":
    sys.exit(main())
