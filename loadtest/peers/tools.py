"""Peers that may be installed: webdis, a door from HTTP to Redis in C, and redis-benchmark, which needs no door."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peers.contenders import (
    DRIVER_CORE,
    SERVER_CORE,
    Absent,
    Contender,
    accepts,
    await_true,
    ended,
    free_port,
    holders,
    on_core,
    valkey,
)
from peers.measure import Figures, Usage, asking, family

_PER_SECOND = 40_000  # commands for redis-benchmark, which counts and knows no time
_LINE = re.compile(
    r'^"EXISTS[^"]*","(?P<rate>[\d.]+)","[\d.]+","[\d.]+","(?P<p50>[\d.]+)","[\d.]+","(?P<p99>[\d.]+)"', re.M
)


@contextmanager
def webdis() -> Iterator[Contender]:
    """``GET /EXISTS/lost:<number>``: no authentication, no check digit, no keyed hash, no proof, no journal."""
    program = shutil.which("webdis")
    if program is None:
        raise Absent("webdis is not installed (Debian: webdis)")
    with (
        tempfile.TemporaryDirectory(prefix="webdis-") as folder,
        on_core(SERVER_CORE),
        valkey(Path(folder)) as (path, store),
    ):
        port = free_port()
        config = Path(folder) / "webdis.json"
        told = {"redis_host": path, "http_host": "127.0.0.1", "http_port": port, "threads": 1, "daemonize": False}
        config.write_text(json.dumps({**told, "verbosity": 0, "logfile": str(Path(folder) / "webdis.log")}))
        with ended(subprocess.Popen([program, str(config)])) as process:
            await_true(lambda: accepts(port))
            requests = [
                f"GET /EXISTS/lost:{holder.number} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode() for holder in holders()
            ]
            os.sched_setaffinity(0, {DRIVER_CORE})
            pids = [*family(store), *family(process.pid)]
            yield Contender(pids, asking(port, requests, 1, pids))


@contextmanager
def redis_benchmark() -> Iterator[Contender]:
    """The floor: EXISTS over a socket, asked for by a program in C. No HTTP, and nothing but the server's own work."""
    program = shutil.which("redis-benchmark") or shutil.which("valkey-benchmark")
    if program is None:
        raise Absent("redis-benchmark is not installed (Debian: redis-tools)")
    with (
        tempfile.TemporaryDirectory(prefix="floor-") as folder,
        on_core(SERVER_CORE),
        valkey(Path(folder)) as (path, store),
    ):
        os.sched_setaffinity(0, {DRIVER_CORE})

        def ask(connections: int, seconds: float) -> Figures:
            count = int(_PER_SECOND * seconds)
            command = [program, "-s", path, "-c", str(connections), "-n", str(count), "-r", "1000000", "--csv"]
            with Usage(family(store)) as usage:
                told = subprocess.run(
                    [*command, "EXISTS", "lost:__rand_int__"], capture_output=True, text=True, check=True
                )
            found = _LINE.search(told.stdout)
            if found is None:
                raise ValueError(f"redis-benchmark said {told.stdout[-200:]!r}")
            p50, p99 = float(found["p50"]) * 1000, float(found["p99"]) * 1000
            return Figures(float(found["rate"]), usage.seconds / count * 1e6, p50, p99, 0)

        yield Contender(family(store), ask)
