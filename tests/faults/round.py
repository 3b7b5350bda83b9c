"""One round: a cluster of its own, the load on it, the faults of one seed; then everything is healed and judged.

Its folder keeps what it takes to understand it afterwards: `faults.jsonl`, `history.npz`, `report.json`, the logs.
"""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from tests.faults.cluster import NAMES, Cluster
from tests.faults.record import Record
from tests.faults.report import Findings, judged
from tests.faults.schedule import Played, drawn, play, table

WARM_S = 2.0
HEAL_S = 60.0
VERIFY_S = 240.0
DOCUMENTS_PER_S = 3500


def play_round(seed: int, seconds: float, folder: Path) -> Findings:
    """`folder` must exist; the engines' data lies elsewhere and is removed."""
    place = Path(tempfile.mkdtemp(prefix="lostid-faults-"))
    place.chmod(0o755)  # the engines are other users
    try:
        cluster = Cluster(place)
        try:
            faults = _under_load(cluster, seed, seconds, folder)
            twice = _reported_twice(cluster)
        finally:
            cluster.close()
            _keep_logs(place, folder)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    findings = judged(Record.load(folder / "history.npz"), faults, seed, seconds)
    findings.unexpected += twice
    (folder / "report.json").write_text(json.dumps(findings.told(), indent=1))
    return findings


def _under_load(cluster: Cluster, seed: int, seconds: float, folder: Path) -> list[Played]:
    desks = _Desks(cluster, seed, folder)
    try:
        played = _played(cluster, desks, seed, seconds, folder)
        desks.end()
    finally:
        desks.close()
    return played


def _played(cluster: Cluster, desks: _Desks, seed: int, seconds: float, folder: Path) -> list[Played]:
    """All faults, told as they end; then everything is whole again."""
    played: list[Played] = []
    with (folder / "faults.jsonl").open("w") as log:

        def told(fault: Played) -> None:
            played.append(fault)
            log.write(json.dumps(asdict(fault)) + "\n")
            log.flush()

        time.sleep(WARM_S)
        play(drawn(random.Random(seed), table(desks.storm)), cluster, time.monotonic() + seconds, told)
        for pause in cluster.mend(HEAL_S):
            time.sleep(pause)
    return played


def _reported_twice(cluster: Cluster) -> list[str]:
    """Every card was reported under one idempotency key, however often that was sent: one report each."""
    found = cluster.postgres.primary.ask(
        """
        SELECT array_agg(DISTINCT r.id) FROM covers c JOIN reports r ON r.id = c.report_id
         GROUP BY c.doc_key HAVING count(DISTINCT r.id) > 1
        """,
        "lostid",
    )
    return [f"one key, several reports: {ids}" for (ids,) in found]


class _Desks:
    """The load's process."""

    def __init__(self, cluster: Cluster, seed: int, folder: Path) -> None:
        config = {
            **cluster.keys(),
            "ledgers": cluster.ledgers(),
            "seed": seed,
            "rate": DOCUMENTS_PER_S,
            "doors": {name: cluster.links.ports[f"client-{name}"] for name in NAMES},
            "history": str(folder / "history.npz"),
        }
        self._log = folder / "desks.log"
        with self._log.open("wb") as log:
            argv = [sys.executable, "-m", "tests.faults.desks", json.dumps(config)]
            self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=log, stderr=log)

    def storm(self, seconds: float) -> None:
        self._say({"storm": seconds})

    def end(self) -> None:
        """It asks about every receipt once more, and saves what it saw."""
        self._say({"end": True})
        code = self._process.wait(VERIFY_S)
        if code != 0:
            raise self._ended()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def _say(self, order: dict[str, object]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def _ended(self) -> RuntimeError:
        return RuntimeError(f"the load ended with exit code {self._process.wait()}: {self._log.read_text()[-2000:]}")


def _keep_logs(place: Path, folder: Path) -> None:
    logs: Iterable[Path] = (*place.glob("host-*/log"), *place.glob("*/log/*.log"), *place.glob("*.log"))
    for path in logs:
        shutil.copyfile(path, folder / "-".join(path.relative_to(place).parts))
