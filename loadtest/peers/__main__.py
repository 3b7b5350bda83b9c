"""``python -m peers``: lostid and its peers in turn, several times, and the medians of their ratios.

The server and all its processes run on one core, the driver on the other. Absolute figures name the machine of the
moment; the ratios of one run are what can be quoted. A peer that is not installed is named as absent.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from peers.contenders import DRIVER_CORE, Absent, Start, constant, lostid, obvious, set_apart
from peers.measure import Figures
from peers.tools import redis_benchmark, webdis

CONTENDERS: dict[str, Start] = {
    "webdis": webdis,
    "redis-benchmark": redis_benchmark,
    "constant": constant,
    "obvious": obvious,
    "lostid": lostid,
    "lostid-batch-100": partial(lostid, 100),
    "lostid-batch-1000": partial(lostid, 1000),
}


def main() -> int:
    """Measure, show, write JSON."""
    parser = argparse.ArgumentParser(prog="peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--only", action="append", choices=sorted(CONTENDERS), help="may be repeated; all by default")
    parser.add_argument(
        "--apart", action="store_true", help="the answering process alone on its core; engines beside the driver"
    )
    parser.add_argument("--out", default="loadtest-results/peers.json")
    options = parser.parse_args()
    console = Console(stderr=True)
    chosen = options.only or list(CONTENDERS)
    os.sched_setaffinity(0, {DRIVER_CORE})
    runs: dict[str, list[Figures]] = {name: [] for name in chosen}
    absent: dict[str, str] = {}
    for number in range(options.rounds):
        for name in list(runs):
            try:
                figures = _one(CONTENDERS[name], options.connections, options.seconds, apart=options.apart)
            except Absent as reason:
                absent[name] = str(reason)
                del runs[name]
                console.print(f"{name}: absent, {reason}")
                continue
            runs[name].append(figures)
            console.print(f"round {number + 1}  {name:18} {figures.rate:10,.0f}/s  {figures.cpu_us:7.1f} µs CPU")
    console.print(_table(runs))
    _write(Path(options.out), runs, absent)
    return 0


def _one(start: Start, connections: int, seconds: float, *, apart: bool) -> Figures:
    with start() as contender:
        if apart:
            set_apart(contender.pids)
        contender.ask(connections, 1.0)  # warm
        return contender.ask(connections, seconds)


def _table(runs: dict[str, list[Figures]]) -> Table:
    first = next(iter(runs))
    table = Table("", "documents/s", "CPU each", "p50", "p99", "failed", f"CPU / {first}", f"rate / {first}")
    table.columns[0].no_wrap = True
    for name, figures in runs.items():
        median = partial(_median, figures)
        table.add_row(
            name,
            f"{median('rate'):,.0f}",
            f"{median('cpu_us'):.1f} µs",
            f"{median('p50_us'):,.0f} µs",
            f"{median('p99_us'):,.0f} µs",
            f"{sum(f.failed for f in figures)}",
            f"{_ratio('cpu_us', figures, runs[first]):.2f}",
            f"{_ratio('rate', figures, runs[first]):.2f}",
        )
    return table


def _median(figures: list[Figures], field: str) -> float:
    return statistics.median(float(getattr(f, field)) for f in figures)


def _ratio(field: str, ours: list[Figures], theirs: list[Figures]) -> float:
    """The median over the rounds: what weighed on the machine in one of them weighed on both."""
    pairs = zip(ours, theirs, strict=True)
    return statistics.median(float(getattr(a, field)) / float(getattr(b, field)) for a, b in pairs)


def _write(path: Path, runs: dict[str, list[Figures]], absent: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    made = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpu": _cpu(), "cores": os.cpu_count(), "kernel": platform.release()},
        "absent": absent,
        "runs": {
            name: [{field: getattr(f, field) for field in Figures.__slots__} for f in figures]
            for name, figures in runs.items()
        },
    }
    path.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    sys.exit(main())
