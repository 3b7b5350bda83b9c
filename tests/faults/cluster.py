"""The whole: PostgreSQL with its standby, two Valkey servers, two hosts and a third that comes and goes, and a link
between any two that talk to each other."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

from lostid.commands.keys import make
from lostid.ledger.apikeys import NewKey
from lostid.ledger.pool import aconnect
from lostid.secrets import load_or_make
from tests.faults.hosts import PARTS, Host
from tests.faults.importers import CLERK
from tests.faults.links import Links
from tests.faults.police import OFFICER, SECOND
from tests.faults.postgres_pair import LINK, Pair
from tests.faults.valkeys import Valkeys
from tests.waiting import wait_for

STAYING = ("A", "B")
GUEST = "C"
NAMES = (*STAYING, GUEST)
Pause = Iterator[float]


class Cluster:
    """Made whole and healthy; `close` ends everything that it started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.links = Links(folder)
        self.postgres = Pair(folder, self.links)
        self.valkeys = Valkeys(folder, self.links)
        secrets = folder / "secrets"
        load_or_make(secrets, make=True)
        self.hosts: dict[str, Host] = {}
        for name in NAMES:
            database = self.postgres.serve(f"{name}-postgres")
            host = Host(name, folder, database, self.valkeys.serve(f"{name}-valkey"), secrets)
            self.links.open(f"client-{name}", ("127.0.0.1", host.port))
            self.hosts[name] = host
        for name in STAYING:
            self.hosts[name].start()
        wait_for(self.ready, 60, "both hosts are ready")

    def ready(self) -> bool:
        return all(self.hosts[name].ready for name in STAYING)

    def keys(self) -> dict[str, str]:
        """Secrets of the callers' keys. Straight to the ledger, as `lostid keys create` does it."""
        dsn = self.postgres.primary.server.dsn

        async def work() -> dict[str, str]:
            async with await aconnect(dsn, name="lostid-faults") as conn:
                wanted = {
                    "police": NewKey("live", "police", ("reporter", "checker"), "station-12", OFFICER),
                    "approver": NewKey("live", "police", ("approver",), "station-7", SECOND),
                    "importer": NewKey("live", "police", ("importer",), "station-3", CLERK),
                    "hotel": NewKey("live", "hotel", ("checker",)),
                }
                return {name: (await make(conn, key))[1] for name, key in wanted.items()}

        return asyncio.run(work())

    def ledgers(self) -> list[str]:
        """The ways of the staying hosts to PostgreSQL."""
        return [self.hosts[name].environment["LOSTID_DATABASE_URL"] for name in STAYING]

    def pids(self, process: str) -> list[int]:
        """`primary`, `standby` (all their processes, the postmaster first), `valkey`, `A/_worker`, `A/supervisor`."""
        if process in ("primary", "standby"):
            return (self.postgres.primary if process == "primary" else self.postgres.standby).pids
        if process == "valkey":
            return self.valkeys.current.pids
        host, part = process.split("/")
        return self.hosts[host].pids(part)

    def mend(self, seconds: float) -> Pause:
        """Everything runs again and every link is good: no fault that was left behind outlives this."""
        for link in self.links.ports:
            self.links.heal(link)
        for host in self.hosts.values():
            wake(pid for part in (*PARTS, "supervisor") for pid in host.pids(part))
            host.disk.relieve()
        for node in (*self.postgres.nodes, *self.valkeys.nodes):
            wake(node.pids)
            node.disk.relieve()
        yield from self.postgres.settle()
        yield from self.valkeys.restart(self.valkeys.current)
        for name in STAYING:
            yield from self.hosts[name].come_up()
        for _ in range(int(seconds * 10)):
            if self.ready():
                return
            yield 0.1
        raise RuntimeError("the hosts are not ready again")

    def close(self) -> None:
        for host in self.hosts.values():
            host.close()
        self.valkeys.close()
        self.postgres.close()
        self.links.close()


def all_links() -> list[str]:
    """Their names."""
    return [LINK, *(name for host in STAYING for name in (f"client-{host}", f"{host}-postgres", f"{host}-valkey"))]


def send(pids: Iterable[int], number: signal.Signals) -> int:
    """To those that still are; how many that were."""
    sent = 0
    for pid in pids:
        try:
            os.kill(pid, number)
            sent += 1
        except ProcessLookupError:
            continue
    return sent


def wake(pids: Iterable[int]) -> None:
    send(pids, signal.SIGCONT)
