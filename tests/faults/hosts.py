"""A service host of the harness: a real `lostid serve` whose ways to the engines and to its callers are links."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from lostid.engines.procs import spawn, stop
from lostid.settings import Settings, private_dir
from tests.faults.disks import Disk
from tests.serving import children_of, environment, free_port

WORKERS = 2
PARTS = ("_worker", "_replica", "_relay", "_log")
_FILTER_MEGABYTES = 24
Pause = Iterator[float]


class Host:
    """Started and killed at will; its port and its data directory stay the same."""

    def __init__(self, name: str, folder: Path, database_url: str, redis_url: str, secrets: Path) -> None:
        self.name = name
        self.folder = folder / f"host-{name}"
        self.folder.mkdir()
        self.port = free_port()
        self.environment = environment(
            data_dir=str(self.folder / "data"),
            secrets_dir=str(secrets),
            database_url=database_url,
            redis_url=redis_url,
            port=str(self.port),
            workers=str(WORKERS),
            capacity="1000",  # grows within a round, in the middle of the faults
            withdrawals_a_day="1000000",
            withdrawals_in_30_days="1000000",
        )
        self.settings = Settings(data_dir=self.folder / "data")
        private_dir(self.settings.run_dir)
        self.disk = Disk(self.settings.run_dir, _FILTER_MEGABYTES, mode=0o700)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns at once; `ready` says when it answers."""
        with (self.folder / "log").open("ab") as log:
            argv = [sys.executable, "-P", "-m", "lostid", "serve"]
            self.process = spawn(argv, death=signal.SIGTERM, cwd=self.folder, env=self.environment, output=log)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def ready(self) -> bool:
        """By its own word, not through a link."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1.5)
        try:
            connection.request("GET", "/readyz")
            return self.running and connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def pids(self, part: str) -> list[int]:
        """Of the supervisor, or of its children with this role."""
        if self.process is None or self.process.poll() is not None:
            return []
        return [self.process.pid] if part == "supervisor" else children_of(self.process.pid, part)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def leave(self) -> Pause:
        """As it is asked to by its operator; killed if it does not."""
        if self.process is None:
            return
        self.process.terminate()
        for _ in range(150):
            if self.process.poll() is not None:
                return
            yield 0.1
        self.kill()

    def come_up(self) -> Pause:
        """Start it where it does not run, again and again, until it is ready: its engines may be away."""
        for _ in range(400):
            if not self.running:
                self.start()
            elif self.ready:
                return
            yield 0.1
        raise RuntimeError(f"host {self.name} does not come up: {(self.folder / 'log').read_text()[-2000:]}")

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            stop(self.process, signal.SIGTERM, 10)
        self.disk.release()
        shutil.rmtree(self.settings.run_dir, ignore_errors=True)
