"""How fast checks are answered on a small and on a large ledger, in turn, and with holders of replaced cards as well.

Both servers run throughout. The one that is asked has a core for its worker; everything else shares the driver's.
"""

from __future__ import annotations

import os
import random
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from lostid_load.wire import request
from nation import people
from nation.host import Host
from peers.contenders import DRIVER_CORE, set_apart
from peers.measure import Ask, Figures, asking

CONNECTIONS: Final = 16
REPLACED: Final = 0.07
_QUESTIONS: Final = 4_000


def compared(small: Path, large: Path, rounds: int, seconds: float, tell: Callable[[str], None]) -> dict[str, Any]:
    """Medians of each, and the ratios: large to small, and with replaced cards to without, each within its round."""
    runs: dict[str, list[Figures]] = {"small": [], "large": [], "large_replaced": []}
    with ExitStack() as stack:
        hosts = [stack.enter_context(Host(directory)) for directory in (small, large)]
        os.sched_setaffinity(0, {DRIVER_CORE})
        for host in hosts:
            host.until_filled()
            host.until_settled(tell)
            set_apart(host.pids)
        keys = [host.key("--role", "checker") for host in hosts]
        asks: dict[str, Ask] = {
            "small": _ask(hosts[0], keys[0], 0.0),
            "large": _ask(hosts[1], keys[1], 0.0),
            "large_replaced": _ask(hosts[1], keys[1], REPLACED),
        }
        for ask in asks.values():
            ask(CONNECTIONS, 1.0)
        for _ in range(rounds):
            for name, ask in asks.items():
                runs[name].append(ask(CONNECTIONS, seconds))
    return {
        "runs": {name: [_told(figures) for figures in of] for name, of in runs.items()},
        "size": _ratios(runs["large"], runs["small"]),
        "mix": _ratios(runs["large_replaced"], runs["large"]),
    }


def _ask(host: Host, key: str, replaced: float) -> Ask:
    choose = random.Random(7)
    who = {"operator": "desk-1", "purpose": "hotel.check_in"}
    asked = []
    for serial in range(_QUESTIONS):
        of = people.holder(serial) if choose.random() < replaced else people.nobody(serial)
        asked.append(request("127.0.0.1", "/v1/checks", key, {"document": of.document, **who}))
    return asking(host.port, asked, 1, host.pids)


def _told(figures: Figures) -> dict[str, float]:
    return {name: getattr(figures, name) for name in Figures.__slots__}


def _ratios(ours: Sequence[Figures], theirs: Sequence[Figures]) -> dict[str, float]:
    pairs = list(zip(ours, theirs, strict=True))
    return {
        name: statistics.median(float(getattr(a, name)) / float(getattr(b, name)) for a, b in pairs)
        for name in ("rate", "cpu_us", "p99_us")
    }
