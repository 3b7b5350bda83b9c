"""Embedded PostgreSQL: one cluster in the data directory, reached through a socket in a private directory, no port."""

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .procs import Child, EngineRefused, User, spawn, wait_until_left
from .programs import postgres_bin
from .sockets import sockets_dir, sockets_path
from .users import engine_user, named_user

SUPERUSER = "lostid"
DATABASE = "lostid"

# A process reaches its working directory through this name even where the path above it is closed to it (a checkout
# below /root). PostgreSQL makes its data directory the working directory of all its processes.
HERE = "/proc/self/cwd"

# Given on the command line, where no file in the cluster can overrule it.
SETTINGS = {
    # What a receipt rests on (G3, A1). The start checks refuse any server that has less.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    # Nobody reaches this server but through its socket's directory.
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "shared_buffers": "128MB",
    # Commit latency: WAL files are recycled, not made. After a crash there is little to replay: checks are back soon.
    "min_wal_size": "256MB",
    "max_wal_size": "512MB",
    "checkpoint_timeout": "5min",
    # Few processes: nothing here is large enough for more.
    "io_method": "sync",
    "max_worker_processes": "2",
    "max_parallel_workers_per_gather": "0",
    "max_logical_replication_workers": "0",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "cluster_name": "lostid",
    # Statements are not logged, not even failing ones: they may carry tokens.
    "log_min_error_statement": "panic",
}


@dataclass(frozen=True, slots=True)
class Postgres:
    """The cluster in one data directory and what it takes to run it. Made by `prepare`, under the directory's lock."""

    data: Path
    sockets: Path
    programs: Path
    user: User | None
    log: Path
    connections: int

    name = "postgres"
    program = "postgres"
    stops_with = (signal.SIGINT, 10.0)  # fast shutdown: roll back, checkpoint, leave

    def start(self) -> subprocess.Popen[bytes]:
        """Start the server; `ready` says when it answers. Waits for the processes of an earlier one to leave."""
        wait_until_left(self.data, self.program)
        # Nobody works here, so a lock file is a leftover. Its process number may by now be another's, Valkey's say.
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        settings = SETTINGS | {
            "unix_socket_directories": str(self.sockets),
            "max_connections": str(self.connections),
        }
        with self.log.open("ab") as log:
            return spawn(
                [self.programs / "postgres", "-D", HERE, *(f"--{name}={value}" for name, value in settings.items())],
                death=signal.SIGQUIT,  # immediate shutdown: the write-ahead log has everything
                cwd=self.data,
                user=self.user,
                env={"PATH": os.defpath, "LC_ALL": "C"},
                output=log,
            )

    def ready(self, child: Child) -> bool:
        """Whether this child takes connections. It says so itself in its lock file, as pg_ctl reads it too."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(child.pid) and lines[7].strip() == "ready"

    @property
    def dsn(self) -> str:
        return dsn_at(self.sockets)


def dsn_at(sockets: Path, database: str = DATABASE) -> str:
    return f"postgresql:///{database}?host={sockets}&user={SUPERUSER}"


def embedded_dsn(place: str, database: str = DATABASE) -> str:
    """The ledger of a data directory, for commands beside its server."""
    return dsn_at(sockets_path(place), database)


def exists(data_dir: Path) -> bool:
    """Whether the data directory holds a cluster: no first start any more."""
    return (data_dir / "postgres").is_dir()


def prepare(data_dir: Path, place: str, connections: int = 60) -> Postgres:
    """Find or make the cluster, its programs and its sockets' directory. Raises EngineRefused."""
    cluster = data_dir / "postgres"
    user = engine_user(data_dir)
    programs = postgres_bin(user, data_dir)
    log = data_dir / "log"
    log.mkdir(mode=0o700, exist_ok=True)
    if not cluster.is_dir():
        _initdb(programs, cluster, user, log / "initdb.log")
    return Postgres(cluster, sockets_dir(place, user), programs, user, log / "postgres.log", connections)


def _initdb(programs: Path, cluster: Path, user: User | None, log: Path) -> None:
    """Make the cluster: under another name until it is complete and synced, so that an interrupted one is made anew."""
    unfinished = cluster.with_name("postgres.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    maker = None
    if user is not None:
        # initdb wants a name for its user, the server does not: made under a name, then given to the number.
        maker = named_user()
        os.chown(unfinished, maker.uid, maker.gid)
    with log.open("wb") as output:
        child = spawn(
            [
                programs / "initdb",
                f"--pgdata={HERE}",
                f"--username={SUPERUSER}",
                "--auth=trust",  # whoever passes the socket's directory is its owner
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C",
                "--data-checksums",
            ],
            death=signal.SIGKILL,
            cwd=unfinished,
            user=maker,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            output=output,
        )
        code = child.wait()
    if code != 0:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise EngineRefused(f"initdb failed (exit code {code}); its words are in {log}")
    if user is not None:
        for folder, _, files in os.walk(unfinished):
            for path in (folder, *(os.path.join(folder, f) for f in files)):  # noqa: PTH118  900 files: strings will do
                os.chown(path, user.uid, user.gid, follow_symlinks=False)
    unfinished.rename(cluster)
    os.sync()
