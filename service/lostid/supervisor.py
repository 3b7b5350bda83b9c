"""The supervisor: starts everything that one host runs, restarts what ends, and stops it in order.

One process, one thread, no event loop: it blocks its signals and waits for the next one with a time limit. All that it
starts ends with it, however it ends (PR_SET_PDEATHSIG is tied to this very thread).
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import IO

from lostid import children
from lostid.engines import postgres, valkey
from lostid.engines.procs import Child, DataDirLock, EngineRefused, living_in, reap_strangers, spawn
from lostid.engines.sockets import sockets_path
from lostid.filter.page import zero_lease
from lostid.forking import Forked, fork
from lostid.listening import is_ready, listen, url_of
from lostid.secrets import load_or_make
from lostid.settings import Settings, private_dir
from lostid.units import Unit

SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
WORKERS_LEAVE_S = 5.0
OTHERS_LEAVE_S = 2.0
SAY_EVERY_S = 15.0
CONNECTIONS_PER_WORKER = 10

Engine = postgres.Postgres | valkey.Valkey


class StartFailed(Exception):
    """The server did not come up. `code` is the exit code of the command."""

    def __init__(self, sentence: str, code: int = 3) -> None:
        super().__init__(sentence)
        self.code = code


class Asked(BaseException):
    """Somebody asked us to stop."""


class Supervisor:
    """Everything of one host, for as long as `run` runs."""

    def __init__(self, settings: Settings, say: Callable[[str], None], log: IO[bytes] | None = None) -> None:
        """`say` gets a line for the operator whenever something ends that should not. `log`: where replica, relay and
        workers write, instead of standard error."""
        self.settings = settings
        self.say = say
        self.log = log
        self.engines: list[Unit] = []
        self.others: list[Unit] = []  # replica, relay, sweep, log
        self.workers: list[Unit] = []
        self.tasks: list[Unit] = []  # children that run once
        self.listening: socket.socket | None = None
        self.url = ""

    def run(self, on_ready: Callable[[str], None], task: Sequence[str] = ()) -> int:
        """Start, call `on_ready` with the URL, keep going until SIGTERM or SIGINT, stop in order.

        `task`: role and arguments of a child that runs once, when all is ready.
        Raises DataDirInUse, EngineRefused, SecretsRefused, CannotListen, StartFailed.
        """
        with DataDirLock(self.settings.data_dir):
            before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
            try:
                self._start()
                on_ready(self.url)
                if task:
                    self._task(task)
                while True:
                    self._turn(1.0)
            except Asked:
                return 0
            finally:
                self._stop()
                signal.pthread_sigmask(signal.SIG_SETMASK, before)

    # -- start ---------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        """The engines start while our children's code is loaded; the children begin when the ledger is right."""
        settings = self.settings
        first = settings.embedded_postgres and not postgres.exists(settings.data_dir)
        load_or_make(settings.secrets_path, make=first)
        self.listening = listen(settings.host, settings.port)
        self.url = url_of(self.listening)
        private_dir(settings.run_dir)

        engines: list[Engine] = []
        urls = {}
        if settings.embedded_postgres:
            connections = 20 + CONNECTIONS_PER_WORKER * settings.workers
            engines.append(pg := postgres.prepare(settings.data_dir, settings.place, connections))
            urls["database_url"] = pg.dsn
        if settings.embedded_valkey:
            engines.append(vk := valkey.prepare(settings.data_dir, settings.place))
            urls["redis_url"] = vk.url
        for engine in engines:
            vacant = partial(_nobody_in, engine)
            self.engines.append(Unit(engine.name, engine.start, engine.stops_with, vacant))
            self.engines[-1].start()

        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("LOSTID_")}
        resolved: dict[str, str | int] = {**urls, "port": self.listening.getsockname()[1]}
        self.environment |= settings.model_copy(update=resolved).environment()
        self._start_children(engines)

    def _start_children(self, engines: Sequence[Engine]) -> None:
        children.load()
        for engine, unit in zip(engines, self.engines, strict=True):
            self._until(lambda e=engine, u=unit: _up(e, u), unit)  # type: ignore[misc]  # bound at once
        prepare = self._begin(children.PREPARE)
        self.tasks.append(_once(children.PREPARE, prepare))
        self._until(lambda: prepare.poll() is not None)
        if (code := prepare.wait()) != 0:
            raise StartFailed("", code if code > 0 else 3)  # it has said why itself
        for role in children.OTHERS:
            leaves = (signal.SIGTERM, OTHERS_LEAVE_S)
            self.others.append(Unit(role.removeprefix("_"), partial(self._begin, role), leaves))
        for number in range(1, self.settings.workers + 1):
            leaves = (signal.SIGTERM, WORKERS_LEAVE_S)
            self.workers.append(Unit(f"worker {number}", self._start_worker, leaves))
        for unit in (*self.workers, *self.others):  # the replica after all that zero its lease
            unit.start()
        self._until_ready()

    def _begin(self, role: str) -> Forked:
        listening = self.listening.fileno() if role == children.WORKER and self.listening is not None else None
        log = None if role == children.PREPARE else self.log
        return fork(
            partial(children.begin, role, self.environment, listening),
            f"lostid {role}",
            death=signal.SIGKILL,
            keep=() if listening is None else (listening,),
            output=log,
        )

    def _start_worker(self) -> Forked:
        zero_lease(self.settings.run_dir)
        return self._begin(children.WORKER)

    def _task(self, asked: Sequence[str]) -> None:
        # -P: nothing is imported from where we happen to stand.
        task = spawn([sys.executable, "-P", "-m", "lostid", *asked], death=signal.SIGKILL, env=self.environment)
        self.tasks.append(_once(asked[0], task))
        self._until(lambda: task.poll() is not None, restart=True)
        if task.returncode != 0:
            raise StartFailed(f"{asked[0]} ended with exit code {task.returncode}")

    def _until_ready(self) -> None:
        said = time.monotonic()

        def ready() -> bool:
            nonlocal said
            if time.monotonic() - said > SAY_EVERY_S:
                said = time.monotonic()
                self.say(f"not ready yet; {self.url}/readyz says what is missing")
            return is_ready(self.url)

        self._until(ready, restart=True)

    # -- run -----------------------------------------------------------------------------------------------------------

    def _until(self, done: Callable[[], bool], needed: Unit | None = None, *, restart: bool = False) -> None:
        while not done():
            if restart:
                self._turn(0.02)
                continue
            self._wait(0.01)
            for unit in (*self.engines, *self.others, *self.workers):
                if not unit.alive:
                    raise StartFailed(f"{unit.name} ended while starting{_last_words(self.settings, unit)}")

    def _turn(self, seconds: float) -> None:
        """Wait for a signal or the time, then put right what has ended."""
        units = (*self.engines, *self.others, *self.workers)
        if any(unit.child is None for unit in units):
            seconds = min(seconds, 0.05)
        self._wait(seconds)
        for unit in units:
            code = unit.reap()
            if code is not None:
                self.say(f"{unit.name} ended ({_how(code)}); starting it again")
            try:
                unit.start_if_due()
            except (OSError, subprocess.SubprocessError, EngineRefused) as e:  # out of memory or processes: later, then
                self.say(f"{unit.name} cannot be started: {e}")

    def _wait(self, seconds: float) -> None:
        found = signal.sigtimedwait(SIGNALS, seconds)
        if found is None:
            return
        if found.si_signo in (signal.SIGTERM, signal.SIGINT):
            raise Asked
        units = (*self.tasks, *self.engines, *self.others, *self.workers)
        reap_strangers([unit.child.pid for unit in units if unit.child is not None])

    # -- stop ----------------------------------------------------------------------------------------------------------

    def _stop(self) -> None:
        """Workers finish what they began, the replica leaves the ledger's hosts, then the engines save and end."""
        if self.listening is not None:
            self.listening.close()
        for units in (self.tasks, self.workers, self.others, self.engines):
            _end_all(units)
        if self.engines:
            with contextlib.suppress(OSError):  # an engine that was killed leaves its socket
                sockets_path(self.settings.place).rmdir()


def _once(name: str, child: Child) -> Unit:
    return Unit(name, lambda: child, (signal.SIGTERM, 1.0), child=child)


def _end_all(units: Iterable[Unit]) -> None:
    """Ask all of them, wait for all of them, kill what is left. A second ^C is taken as impatience."""
    left = [unit for unit in units if unit.alive]
    for unit in left:
        assert unit.child is not None  # noqa: S101  alive
        unit.child.send_signal(unit.stops_with[0])
    until = time.monotonic() + max((unit.stops_with[1] for unit in left), default=0.0)
    while (left := [unit for unit in left if unit.alive]) and time.monotonic() < until:
        found = signal.sigtimedwait(SIGNALS, 0.05)
        if found is not None and found.si_signo in (signal.SIGTERM, signal.SIGINT):
            break
    for unit in left:
        assert unit.child is not None  # noqa: S101  alive
        with contextlib.suppress(ProcessLookupError):
            os.killpg(unit.child.pid, signal.SIGKILL)
        unit.child.wait()


def _nobody_in(engine: Engine) -> bool:
    return not living_in(engine.data, engine.program)


def _up(engine: Engine, unit: Unit) -> bool:
    return unit.child is not None and engine.ready(unit.child)


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def _last_words(settings: Settings, unit: Unit) -> str:
    log = settings.data_dir / "log" / f"{unit.name}.log"
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return f"; the last lines of {log}:\n" + "\n".join(lines[-5:])
