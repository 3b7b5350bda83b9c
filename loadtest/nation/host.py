"""A host on a synthetic ledger: started, watched through readyz, asked what it takes, stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from lostid.engines import postgres, valkey
from lostid.filter.generation import generations, path_of
from lostid.filter.rebuild import capacity_for
from lostid.registry.client import open_client
from lostid.settings import Settings
from lostid_load.server import make_key
from nation import generate
from peers.contenders import free_port
from peers.measure import family

_SETTLED = """
    SELECT (SELECT count(*) FROM log_leaves), (SELECT seq FROM head),
           EXISTS (SELECT FROM registry_sweep WHERE swept_at > %s)
"""
_TELL_S = 10.0
_PATIENCE_S = 3_600.0
_LOOK_S = 0.02


class Host:
    """``lostid serve`` with one worker. Leaving the block stops it; its data directory stays."""

    def __init__(self, directory: Path, documents: int | None = None) -> None:
        """`documents`: how many are expected, where there is no synthetic ledger yet that says so."""
        self.settings = Settings(data_dir=directory)
        self.port = free_port()
        # What the server itself would take, if these ledgers had the sealed tokens by which it counts documents.
        capacity = capacity_for(self.settings.capacity, documents or generate.documents_of(directory))
        told = {"LOSTID_DATA_DIR": str(directory), "LOSTID_CAPACITY": str(capacity)}
        self.environment = {**os.environ, **told}
        self.log = directory / "serve.log"

    def __enter__(self) -> Self:
        self.began = time.monotonic()
        command = [sys.executable, "-m", "lostid", "serve", "--port", str(self.port), "--workers", "1"]
        self.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(command, env=self.environment, stdout=log, stderr=subprocess.STDOUT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.send_signal(signal.SIGTERM)
        self._child.wait()

    def kill(self) -> None:
        """SIGKILL to the supervisor, with which everything ends."""
        pids = self.pids
        self._child.kill()
        self._child.wait()
        while any(Path(f"/proc/{pid}").exists() for pid in pids):
            time.sleep(_LOOK_S)

    @property
    def pids(self) -> list[int]:
        """Of all its processes."""
        return family(self._child.pid)

    def key(self, *arguments: str) -> str:
        """An API key made for this run."""
        return make_key(self.environment, "--org", "nation", *arguments)

    def readyz(self) -> dict[str, Any]:
        """What it says of itself; empty while nobody listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2) as told:
                return dict(json.load(told))
        except urllib.error.HTTPError as unready:
            return dict(json.load(unready))
        except (urllib.error.URLError, OSError, ValueError):
            return {}

    def until(self, true: Callable[[dict[str, Any]], bool]) -> float:
        """Seconds from its start until readyz says so."""
        while not true(self.readyz()):
            took = time.monotonic() - self.began
            if self._child.poll() is not None or took > _PATIENCE_S:
                raise RuntimeError(f"the server did not get there; its words are in {self.log}")
            time.sleep(_LOOK_S)
        return time.monotonic() - self.began

    def until_ready(self) -> float:
        """Seconds until checks are answered."""
        return self.until(lambda told: bool(told.get("ready")))

    def until_filled(self) -> float:
        """Seconds until the registry is in service."""
        return self.until(lambda told: bool(told.get("ready")) and told["registry"].get("doing") == "in_service")

    def rebuild(self) -> None:
        """`lostid registry rebuild`; returns when the registry is in service again."""
        command = [sys.executable, "-m", "lostid", "registry", "rebuild"]
        subprocess.run(command, env=self.environment, check=True, stdout=subprocess.DEVNULL)
        self.until_filled()

    def until_settled(self, tell: Callable[[str], None]) -> float:
        """Seconds until the log has signed every entry, and the sweeper has seen all of Redis once: what follows goes
        on for ever. Tells every ten seconds how far it is: of 10 million documents it takes minutes."""
        began = told = time.monotonic()
        with psycopg.connect(postgres.embedded_dsn(self.settings.place), autocommit=True) as conn:
            (now,) = conn.execute("SELECT clock_timestamp()").fetchone() or (None,)
            while True:
                signed, entries, swept = conn.execute(_SETTLED, [now]).fetchone() or (0, 1, False)
                if signed >= entries and swept:
                    return time.monotonic() - began
                if time.monotonic() - began > _PATIENCE_S:
                    raise RuntimeError(f"the server did not settle; its words are in {self.log}")
                if time.monotonic() - told >= _TELL_S:
                    tell(f"settling: {signed:,} of {entries:,} entries signed, swept: {swept}")
                    told = time.monotonic()
                time.sleep(1.0)

    def weight(self) -> dict[str, float]:
        """Bytes that Redis and the filter take, and how many records there are."""
        with open_client(valkey.embedded_url(self.settings.place)) as client:
            memory = client.info("memory")
            records = int(client.hget("{lostid}head", "count") or 0)
        gen = max(generations(self.settings.run_dir))
        return {
            "records": records,
            "redis_bytes": int(memory["used_memory"]),
            "redis_rss_bytes": int(memory["used_memory_rss"]),
            "filter_bytes": path_of(self.settings.run_dir, gen).stat().st_size,
        }

    def forget_filter(self) -> None:
        """As after a reboot: page and filter are gone."""
        for file in self.settings.run_dir.iterdir():
            file.unlink()

    def forget_registry(self) -> None:
        """As after the loss of Redis."""
        (self.settings.data_dir / "valkey" / "dump.rdb").unlink(missing_ok=True)
