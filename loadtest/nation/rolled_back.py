"""``python -m nation.rolled_back DIRECTORY``: how long an older genuine record stays in Redis, by the clock.

On a synthetic ledger. Each time somebody's card is reported, then the next card, and the first record is put back over
the second: both were made by the registry itself, so no tag tells them apart. What is timed, from that write: the alarm
(a row of `registry_alarms`), the record as it was (repaired), and the end of the alarm (a whole round was clean, Redis
is believed again). Exit code 1: an alarm or a repair took longer than `--within` seconds.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import psycopg
import redis
from rich.console import Console

from lostid.domain.canonical import Canonical
from lostid.domain.documents import RESIDENT_ID
from lostid.domain.keys import Keyring
from lostid.engines import postgres, valkey
from lostid.registry.buckets import Layout
from lostid.registry.client import open_client
from lostid.registry.writer import Writer
from lostid.secrets import load_or_make
from lostid_load.population import number_of
from nation.host import Host
from peers.measure import Usage

_FIRST: Final = 30_000_000
_CARDS: Final = ("2010-03-01", "2020-03-01")
_LOOK_S: Final = 0.005
_PATIENCE_S: Final = 600.0
_EVER: Final = "SELECT count(*) FROM registry_alarms"
_OPEN: Final = "SELECT count(*) FROM registry_alarms WHERE cleared_at IS NULL"
_SWEPT: Final = "SELECT records, round_ms FROM registry_sweep"
_SWEPT_SINCE: Final = "SELECT count(*) FROM registry_sweep WHERE swept_at > %s"


def main() -> int:
    """Start, wait for a clean round, roll back and wait, again and again; tell."""
    parser = argparse.ArgumentParser(prog="nation.rolled_back", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument(
        "--at-once", action="store_true", help="do not wait until the sweeper has seen all of Redis once"
    )
    parser.add_argument("--within", type=float, default=5.0, help="seconds to the alarm and to the repair")
    options = parser.parse_args()
    console = Console(stderr=True)
    with Host(options.directory) as host:
        host.until_filled()
        dsn, url = postgres.embedded_dsn(host.settings.place), valkey.embedded_url(host.settings.place)
        with psycopg.connect(dsn, autocommit=True) as conn, open_client(url) as client:
            scene = _Scene(host, conn, client)
            if not options.at_once:
                console.print(f"a first clean round: {scene.until_swept():.0f} s after the registry was in service")
            told = _measured(scene, options.times, console)
    sys.stdout.write(json.dumps(told, indent=1) + "\n")
    return 1 if max(told["alarm_s"]["most"], told["repaired_s"]["most"]) > options.within else 0


class _Scene:
    """A running host, its ledger and its Redis."""

    def __init__(self, host: Host, conn: psycopg.Connection, client: redis.Redis) -> None:
        self.host, self._conn, self._client = host, conn, client
        self._key = host.key("--role", "reporter", "--station", "s-1", "--operator", "o-1")
        secrets = load_or_make(host.settings.secrets_path, make=False)
        self._keyring = Keyring(secrets.outer, secrets.pepper, secrets.sealing)
        self._serial = _FIRST + random.SystemRandom().randrange(1_000_000)

    def count(self, statement: Any, *values: object) -> int:
        """The first number that it gives."""
        row = self._conn.execute(statement, values).fetchone()
        return int(row[0]) if row else 0

    def until_swept(self) -> float:
        """Seconds until a round was clean that ended after this. An earlier server may have left one behind."""
        (now,) = self._conn.execute("SELECT clock_timestamp()").fetchone() or (None,)
        began = time.monotonic()
        return _until(lambda: self.count(_SWEPT_SINCE, now)) - began

    @property
    def swept(self) -> tuple[int, int]:
        """Records and milliseconds of the last clean round that was kept."""
        row = self._conn.execute(_SWEPT).fetchone()
        return (int(row[0]), int(row[1])) if row else (0, 0)

    def rolled_back(self) -> tuple[float, float, float]:
        """Seconds to the alarm, to the repair, and until Redis is believed again."""
        self._serial += 1
        number = number_of(self._serial)
        key = self._keyring.key("live", Canonical(RESIDENT_ID, number))
        layout = Layout(Writer(self._client).head().bits)
        place: Any = layout.bucket(key), layout.field(key)
        self._report(number, _CARDS[0])
        _until(lambda: self._client.hexists(*place))
        older: Any = self._client.hget(*place)
        self._report(number, _CARDS[1])
        _until(lambda: self._client.hget(*place) != older)
        newer = self._client.hget(*place)
        time.sleep(random.SystemRandom().uniform(0, 3))  # anywhere in a round
        before, began = self.count(_EVER), time.monotonic()
        self._client.hset(place[0], place[1], older)
        alarm = _until(lambda: self.count(_EVER) > before) - began
        repaired = _until(lambda: self._client.hget(*place) == newer) - began
        return alarm, repaired, _until(lambda: not self.count(_OPEN)) - began

    def _report(self, number: str, valid_from: str) -> None:
        document = {"type": "cn.resident-id", "number": number, "valid_from": valid_from}
        body = {"document": document, "reason": "lost", "operator": "o-1", "case_number": "A-1"}
        headers = {
            "Authorization": f"Bearer {self._key}",
            "Idempotency-Key": uuid.uuid4().hex,
            "Content-Type": "application/json",
        }
        url = f"http://127.0.0.1:{self.host.port}/v1/reports"
        with urllib.request.urlopen(
            urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=30
        ) as told:
            told.read()


def _until(true: Callable[[], object]) -> float:
    """The moment at which it was found so. Raises TimeoutError."""
    end = time.monotonic() + _PATIENCE_S
    while not true():
        if time.monotonic() > end:
            raise TimeoutError("this never came")
        time.sleep(_LOOK_S)
    return time.monotonic()


def _measured(scene: _Scene, times: int, console: Console) -> dict[str, Any]:
    found = []
    with Usage(scene.host.pids) as usage:
        began = time.monotonic()
        for _ in range(times):
            found.append(scene.rolled_back())
            console.print("alarm {:.2f} s, repaired {:.2f} s, believed again {:.2f} s".format(*found[-1]))
        took = time.monotonic() - began
    told: dict[str, Any] = {"records": scene.swept[0], "round_ms": scene.swept[1], "times": times}
    told["cpu_of_a_core"] = round(usage.seconds / took, 2)
    for name, values in zip(("alarm_s", "repaired_s", "believed_s"), zip(*found, strict=True), strict=True):
        told[name] = {"median": round(statistics.median(values), 2), "most": round(max(values), 2)}
    return told


if __name__ == "__main__":
    sys.exit(main())
