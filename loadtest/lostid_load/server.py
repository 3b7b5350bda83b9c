"""A server to load, where none is named: `lostid serve` in a directory of its own, with keys made for the run."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lostid_load.outcome import Target

_READY_S = 60.0


class ServerFailed(Exception):
    """The server did not start; the message says what it printed."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that was started for a run."""

    port: int
    pid: int
    environment: dict[str, str]

    def key(self, *arguments: str) -> str:
        """The secret of a new key; the arguments are those of ``lostid keys create``."""
        return make_key(self.environment, *arguments)


@contextmanager
def serving(workers: int) -> Iterator[Target]:
    """A running server and the keys to load it with; ended, and its directory removed, afterwards.

    Raises:
        ServerFailed: see the class.
    """
    with running(workers) as server:
        checker = server.key("--org", "load", "--role", "checker")
        reporter = server.key("--org", "load", "--role", "reporter", "--station", "load", "--operator", "load-1")
        yield Target("127.0.0.1", server.port, checker, reporter)


@contextmanager
def running(workers: int) -> Iterator[Running]:
    """The same before any key is made."""
    with tempfile.TemporaryDirectory(prefix="lostid-load-") as folder:
        port = _free_port()
        environment = {**os.environ, "LOSTID_DATA_DIR": str(Path(folder) / "data")}
        log = Path(folder) / "server.log"
        with log.open("wb") as out:
            command = [sys.executable, "-m", "lostid", "serve", "--port", str(port), "--workers", str(workers)]
            server = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT)
            try:
                _await_ready(port, server, log)
                yield Running(port, server.pid, environment)
            finally:
                server.send_signal(signal.SIGTERM)
                try:
                    server.wait(timeout=15)
                except subprocess.TimeoutExpired:
                    server.kill()
                    server.wait()
                shutil.rmtree(_mapped(Path(folder) / "data"), ignore_errors=True)


def _mapped(data_dir: Path) -> Path:
    """Where the server keeps its filter for the next start, of which there is none here."""
    return Path("/dev/shm") / f"lostid-{hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:12]}"  # noqa: S108


def make_key(environment: dict[str, str], *arguments: str) -> str:
    """An API key of the server with this environment.

    Raises:
        ServerFailed: see the class.
    """
    command = [sys.executable, "-m", "lostid", "keys", "create", "--json", *arguments]
    made = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if made.returncode:
        raise ServerFailed(f"no key could be made: {made.stderr.strip()}")
    key: str = json.loads(made.stdout)["key"]
    return key


def _await_ready(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _READY_S
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise ServerFailed(f"the server did not get ready:\n{log.read_text(errors='replace')[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
