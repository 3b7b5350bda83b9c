"""``python -m nation``: memory and restart at each size, and speed at the largest beside the smallest. Writes JSON.

    PYTHONPATH=loadtest .venv/bin/python -m nation --sizes 1000 100000 1000000 10000000

Each size needs its ledger's room on disk (about 300 bytes for each document, and as much again while it is made) and in
memory (about 60, filter and Redis together). 100 million take a quarter of an hour and 24 GB: ask for them alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from nation import generate, plots, speed
from nation.host import Host


def main() -> int:
    """Measure, show, write."""
    parser = argparse.ArgumentParser(prog="nation", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 100_000, 1_000_000, 10_000_000])
    parser.add_argument("--directory", type=Path, help="where the ledgers are made, and stay; those there are used")
    parser.add_argument("--rounds", type=int, default=5, help="of the comparison of speed; 0: none")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--out", type=Path, default=Path("loadtest-results"))
    options = parser.parse_args()
    if options.directory is not None:
        return _measure(options, options.directory)
    with tempfile.TemporaryDirectory(prefix="lostid-nation-") as folder:
        return _measure(options, Path(folder))


def _measure(options: argparse.Namespace, directory: Path) -> int:
    console = Console(stderr=True)
    told: dict[str, Any] = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": _machine(), "sizes": []}
    places = {size: directory / str(size) for size in sorted(options.sizes)}
    for size, place in places.items():
        told["sizes"].append(_Measured(console))
        _measure_one(told["sizes"][-1], size, place, console.print)
    smallest, largest = min(places), max(places)
    if options.rounds and smallest < largest:
        told["speed"] = speed.compared(
            places[smallest], places[largest], options.rounds, options.seconds, console.print
        )
        told["speed"] |= {"small": smallest, "large": largest}
        console.print({name: told["speed"][name] for name in ("size", "mix")})
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "nation.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    plots.write(told["sizes"], options.out)
    return 0


class _Measured(dict[str, Any]):
    """Tells each figure as it comes, and the load that it came under: of 100 million the last comes after an hour."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def __setitem__(self, name: str, value: object) -> None:
        super().__setitem__(name, value)
        self._console.print(f"{name}: {value} (load {os.getloadavg()[0]:.1f})")


def _measure_one(told: _Measured, size: int, place: Path, tell: Callable[[str], None]) -> None:
    began = time.monotonic()
    made = not place.exists()
    if made:
        generate.generate(size, place)
    told["documents"] = size
    told["generated_s"] = time.monotonic() - began if made else None
    host = Host(place)
    with host:
        told["first_s"] = host.until_filled()
        told["settled_s"] = host.until_settled(tell)
        for name, value in host.weight().items():
            told[name] = value
    told["ledger_bytes"] = sum(
        file.stat().st_size for file in (place / "postgres" / "base").rglob("*") if file.is_file()
    )
    with host:
        told["warm_s"] = host.until_ready()
    host.forget_filter()
    with host:
        told["cold_s"] = host.until_ready()
    host.forget_registry()
    with host:
        told["empty_redis_ready_s"] = host.until_ready()
        told["refilled_s"] = host.until_filled()


def _machine() -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cpu": named[0] if named else platform.machine(), "cores": os.cpu_count(), "memory_bytes": memory}


if __name__ == "__main__":
    sys.exit(main())
