"""A real `lostid serve` for tests: started, asked, killed in parts, stopped."""

import asyncio
import contextlib
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from lostid.commands.keys import make
from lostid.engines.postgres import embedded_dsn
from lostid.engines.sockets import sockets_path
from lostid.ledger.apikeys import NewKey
from lostid.ledger.pool import aconnect
from lostid.settings import Settings
from tests.waiting import wait_for


def environment(**settings: str) -> dict[str, str]:
    """That of this process without its LOSTID_ variables, and with these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOSTID_")}
    return kept | {f"LOSTID_{name.upper()}": value for name, value in settings.items()}


def free_port() -> int:
    """Below those that connections go out from: a client that tries a port with no listener may else meet itself there,
    and hold it."""
    while True:
        port = random.randrange(15_000, 30_000)
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port


def children_of(pid: int, name: str | None = None) -> list[int]:
    """Process ids of this one's children: all of them, or those with this program or role."""
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            words = Path(f"/proc/{child}/cmdline").read_text().replace(" ", "\0").split("\0")
            if name is None or name in (Path(words[0]).name, *words):
                found.append(int(child))
    return found


class Server:
    """A server on a free port with a data directory of its own, which is removed when this ends."""

    program = ("-m", "lostid")
    """What Python runs."""

    def __init__(self, workers: int = 2, **settings: str) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="lostid-serve-"))
        self.environment = environment(data_dir=str(self.directory / "data"), workers=str(workers), **settings)
        self.port = free_port()
        self.url = ""
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> Settings:
        return Settings(data_dir=self.directory / "data")

    def start(self, stderr: int | None = None) -> Self:
        """Returns once the URL is printed. The port is the same at every start. `stderr`: instead of a file."""
        argv = [sys.executable, *self.program, "serve", "--port", str(self.port), "--json"]
        with (self.directory / "stderr").open("ab") as file:
            self.process = subprocess.Popen(
                argv,
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=file if stderr is None else stderr,
                cwd=self.directory,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert b'"url"' in line, (line, self.said)
        self.url = json.loads(line)["url"]
        return self

    @property
    def said(self) -> str:
        """What it wrote to standard error so far."""
        return (self.directory / "stderr").read_text()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        code = self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def children(self, name: str | None = None) -> list[int]:
        """Process ids of the supervisor's children: all of them, or those with this program or role."""
        assert self.process is not None
        return children_of(self.process.pid, name)

    def key(self, *roles: str, env: str = "live", org: str = "org", **more: Any) -> str:
        """The secret of a new key, straight from the ledger."""
        return self.new_key(NewKey(env, org, roles, **more))[1]

    def new_key(self, new: NewKey) -> tuple[str, str]:
        """(id, secret)."""

        async def work() -> tuple[str, str]:
            async with await aconnect(embedded_dsn(self.settings.place), name="lostid-test") as conn:
                return await make(conn, new)

        return asyncio.run(work())

    def cli(self, *argv: str, key: str = "", stdin: str = "") -> subprocess.CompletedProcess[str]:
        """A command against this server."""
        return run_cli(argv, self.environment | {"LOSTID_URL": self.url, "LOSTID_KEY": key}, stdin, self.directory)

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """(status, JSON) on a fresh connection, which any worker may take. `Idempotency_Key` stands for its name."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": "application/json", **sent})
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"null")
        finally:
            connection.close()

    def ready(self) -> bool:
        try:
            return self.ask("GET", "/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def wait_until_ready(self) -> None:
        wait_for(self.ready, 20, "ready")

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop()
        for leftover in (self.directory, self.settings.run_dir, sockets_path(self.settings.place)):
            shutil.rmtree(leftover, ignore_errors=True)


def run_cli(argv: Sequence[str], env: dict[str, str], stdin: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lostid", *argv],
        env=env, input=stdin, cwd=cwd, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def told(done: subprocess.CompletedProcess[str]) -> Any:
    """The JSON that a command printed."""
    assert done.stdout, done.stderr
    return json.loads(done.stdout)
