"""`./run faults`: rounds of faults against real processes, until the time is over.

Each round has a seed of its own; `--seed` plays one round again. What a round needs to be understood lies in a
folder of its own. Exit code 1 where a promise was broken, or where a round could not be played to its end.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.faults.report import Findings
from tests.faults.round import play_round
from tests.faults.sabotage import sabotage

_AROUND_MINUTES = 1.0
"""What a round takes beside its faults: to start, to be healed, to be asked about everything once more."""
_OWN_MOUNTS = "LOSTID_FAULTS_OWN_MOUNTS"


def main() -> int:
    parser = argparse.ArgumentParser(prog="./run faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="for how long, all in all (5)")
    parser.add_argument("--seed", type=int, help="play the round of this seed, and no other")
    parser.add_argument("--round", type=float, default=4.0, metavar="MINUTES", help="of faults in a round (4)")
    parser.add_argument("--folder", type=Path, default=Path("faults-runs"), help="where to keep what was seen")
    parser.add_argument("--sabotage", metavar="MUTANT", help="with this mutant in the service: it should be found out")
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    asked = parser.parse_args()
    _own_mounts()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what is running is ended in order
    folder: Path = asked.folder.absolute() / time.strftime("%Y%m%d-%H%M%S")
    folder.mkdir(parents=True)
    if asked.sabotage:
        sabotage(asked.sabotage, folder)
    total, broken = _rounds(_plan(asked.seed, asked.minutes, asked.round), folder)
    told = {**total.told(), "not_ended": broken, "folder": str(folder)}
    (folder / "report.json").write_text(json.dumps(told, indent=1))
    (folder / "report.txt").write_text(total.lines() + "\n")
    print(json.dumps(told) if asked.json else f"{total.lines()}\nkept in          {folder}", flush=True)
    return 0 if total.kept and not broken else 1


def _plan(seed: int | None, minutes: float, length: float) -> Iterator[tuple[int, float]]:
    """Seeds and minutes of the rounds: the one asked for, or new ones until the time is over."""
    if seed is not None:
        yield seed, length
        return
    until = time.monotonic() + 60 * minutes
    yield secrets.randbelow(1_000_000), min(length, minutes)
    while (left := (until - time.monotonic()) / 60) > _AROUND_MINUTES + length / 4:
        yield secrets.randbelow(1_000_000), min(length, left - _AROUND_MINUTES)


def _rounds(plan: Iterator[tuple[int, float]], folder: Path) -> tuple[Findings, list[str]]:
    """The sum, and what rounds did not come to their end for."""
    total, broken = Findings(), []
    for this, take in plan:
        place = folder / str(this)
        place.mkdir()
        try:
            found = play_round(this, 60 * take, place)
        except (KeyboardInterrupt, SystemExit):
            broken.append(f"seed {this}: ended early")
            break
        except Exception as error:  # the other rounds still count
            broken.append(f"seed {this}: {type(error).__name__}: {error}")
            print(broken[-1], file=sys.stderr, flush=True)
            continue
        total.add(found)
        state = "kept" if found.kept else "BROKEN"
        print(
            f"seed {this:6}: {state}, {found.checked:,} documents, {found.receipts:,} receipts, "
            f"{found.faults.total()} faults, STALE {found.stale} PHANTOM {found.phantom} LOST {found.lost}, "
            f"availability {found.availability:.0%}",
            file=sys.stderr,
            flush=True,
        )
    return total, broken


def _own_mounts() -> None:
    """Start over in a mount namespace of our own, where we may: the small disks vanish with the last process in it."""
    if os.environ.get(_OWN_MOUNTS) or os.geteuid() != 0 or (unshare := shutil.which("unshare")) is None:
        return
    if subprocess.run([unshare, "--mount", "true"], capture_output=True, check=False).returncode == 0:
        os.environ[_OWN_MOUNTS] = "yes"
        os.execv(unshare, [unshare, "--mount", sys.executable, "-m", "tests.faults", *sys.argv[1:]])  # noqa: S606


if __name__ == "__main__":
    sys.exit(main())
