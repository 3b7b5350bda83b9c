"""``python -m overload``: finds the capacity of one worker, asks three times that, and holds what comes of it to the
promises.

The server and all its processes run on one core, this driver on another. With ``--front`` the recommended front stands
before the server: beside it, on its core, or apart from it, as on a machine of its own, on the driver's. One check in
five (``--receipts``) asks for a signed receipt, as banks do; the others are plain.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lostid_load.population import Holder, number_of
from lostid_load.server import Running, running
from lostid_load.wire import request
from overload import figures, front
from overload.figures import Figure
from overload.flood import Seen, Stream, flood
from overload.idlers import idlers
from peers.contenders import DRIVER_CORE, SERVER_CORE, on_core

_CORES = {"beside": SERVER_CORE, "apart": DRIVER_CORE}  # of the front
_CONNECTIONS = 1_500
_REPORTS_A_SECOND = 10
_TENANTS, _SHARE, _TIMES = 5, 0.1, 20
_NORMAL_AFTER_S = 5
_BRIEF_S, _LONG_S = 4.0, 30.0


class Town:
    """The tenants of a server, and what they ask. One check in ``receipts`` asks for a signed one."""

    def __init__(self, server: Running, port: int, receipts: int) -> None:
        self.port = port  # where it is asked
        self._receipts = receipts
        self._keys = [server.key("--org", f"desk-{place}", "--role", "checker") for place in range(_TENANTS)]
        self._police = server.key("--org", "police", "--role", "reporter", "--station", "st-1", "--operator", "load-1")
        self._reported = 0

    def checks(self, tenant: int, rate: float, connections: int) -> Stream:
        """Plain checks, and those with a receipt."""
        asked = []
        for place in range(1_000):
            body = {"document": _card(tenant * 1_000 + place), "operator": "desk-1", "purpose": "hotel.check_in"}
            more = {"receipt": True} if place % self._receipts == 0 else {}
            asked.append(request("127.0.0.1", "/v1/checks", self._keys[tenant], {**body, **more}))
        return Stream(f"desk-{tenant}", rate, connections, asked, seed=tenant + 1)

    def reports(self, seconds: float) -> Stream:
        """Reports of cards that nobody reported before."""
        count = int(seconds * _REPORTS_A_SECOND * 2) + 20
        first, self._reported = self._reported, self._reported + count
        asked = []
        for place in range(first, first + count):
            body = {"document": _card(1_700_000 + place), "reason": "stolen", "effective_at": "2020-01-01"}
            who = {"operator": "load-1", "case_number": "overload"}
            asked.append(request("127.0.0.1", "/v1/reports", self._police, {**body, **who}, f"overload-{place}"))
        return Stream("police", _REPORTS_A_SECOND, 40, asked, once=True)

    def ask(self, rate: float, seconds: float) -> Seen:
        """One tenant alone."""
        return flood(self.port, [self.checks(0, rate, _CONNECTIONS)], seconds)[0]


def capacity(town: Town, console: Console) -> float:
    """The most that is answered in time in a second, for as long as it takes a machine that others use as well to show
    its speeds. First rates rise for four seconds each until answers come late, and the gap between the last two is
    halved; then they fall until one is kept for long. Each has two tries: one stop of the machine is no limit of the
    server's."""
    kept, rate, failed = 0.0, 1_000.0, math.inf
    while failed > max(kept * 1.03, 100.0):
        if _is_kept(town, rate, _BRIEF_S, console):
            kept = rate
        else:
            failed = rate
        rate = kept * 1.5 if failed == math.inf else (kept + failed) / 2
    while kept > 100.0:
        if _is_kept(town, kept, _LONG_S, console):
            return kept
        kept *= 0.95
    return 0.0


def _is_kept(town: Town, rate: float, seconds: float, console: Console) -> bool:
    for _ in range(2):
        seen = town.ask(rate, seconds)
        console.print(f"asked {rate:8,.0f}/s for {seconds:g} s, answered {len(seen.answered) / seconds:8,.0f}/s")
        if figures.sustained(seen):
            return True
    return False


def measure(town: Town, capacity: float, seconds: float) -> list[Figure]:
    """All parts of the test, one after the other."""
    found: list[Figure] = []
    flooded, police = flood(town.port, [town.checks(0, 3 * capacity, _CONNECTIONS), town.reports(seconds)], seconds)
    offered = (flooded.offered + flooded.not_offered) / seconds / capacity
    found.append(Figure("offered, as a multiple of the capacity", offered, 2.9, at_least=True))
    found.append(Figure("share that no connection was free for", flooded.not_offered / max(1, flooded.offered), 0.01))
    found += figures.overloaded(flooded, police, capacity, seconds)
    found += figures.normal_again(town.ask(capacity / 2, _NORMAL_AFTER_S + 5), _NORMAL_AFTER_S)
    alone = town.ask(capacity / 2, 10)
    with idlers(town.port):
        beside = town.ask(capacity / 2, 10)
    found += figures.undisturbed(alone, beside)
    share = capacity * _SHARE
    others = [town.checks(tenant, share, 100) for tenant in range(1, _TENANTS)]
    before = flood(town.port, [town.checks(0, share, _CONNECTIONS), *others], 20)
    now = flood(town.port, [town.checks(0, share * _TIMES, _CONNECTIONS), *others], 20)
    return found + figures.shares(before[1:], now[1:])


def main() -> int:
    """Exit codes: 0 all kept; 1 not."""
    parser = argparse.ArgumentParser(prog="overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="of three times the capacity (120)")
    parser.add_argument("--out", default="loadtest-results/overload.json")
    parser.add_argument("--front", choices=_CORES, help="behind the HAProxy of docs/operations.md: on which core")
    parser.add_argument("--receipts", type=int, default=5, help="one check in so many asks for a signed receipt (5)")
    options = parser.parse_args()
    if options.receipts < 1:
        parser.error("--receipts: one check in 1, 2, ...")
    console = Console(stderr=True)
    os.sched_setaffinity(0, {DRIVER_CORE})
    with contextlib.ExitStack() as ends:
        with on_core(SERVER_CORE):
            server = ends.enter_context(running(1))
        port = server.port
        if options.front:
            folder = ends.enter_context(tempfile.TemporaryDirectory(prefix="front-"))
            with on_core(_CORES[options.front]):
                port = ends.enter_context(front.before(server.port, Path(folder)))
        town = Town(server, port, options.receipts)
        most = capacity(town, console)
        if not most:
            console.print("nothing was answered in time")
            return 1
        found = measure(town, most, options.seconds)
    table = Table("", "seen", "limit", "", title=f"one worker, {most:,.0f} checks a second")
    for figure in found:
        sign = ">=" if figure.at_least else "<="
        table.add_row(figure.name, f"{figure.seen:.3g}", f"{sign} {figure.limit:g}", "" if figure.kept else "NOT KEPT")
    console.print(table)
    out = Path(options.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    told = {
        "front": options.front,
        "receipts": options.receipts,
        "capacity": most,
        "seconds": options.seconds,
        "figures": [asdict(figure) for figure in found],
    }
    out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return 0 if all(figure.kept for figure in found) else 1


def _card(serial: int) -> dict[str, str]:
    return Holder(number_of(serial), "unreported").document


if __name__ == "__main__":
    sys.exit(main())
