"""What can go wrong, one method per kind; a schedule names the method and its arguments."""

from collections.abc import Callable

from tests.simulation.engine import Process
from tests.simulation.redis import Copy
from tests.simulation.schedule import MS, Fault
from tests.simulation.world import Host, World


class Faults:
    def __init__(self, world: World, boot: Callable[[Host], None], start: Callable[[Host, str], None]) -> None:
        self.world = world
        self.engine = world.engine
        self.boot, self.start = boot, start
        self.saved = world.redis.snapshot()
        for fault in world.schedule.faults:
            self.engine.at(fault.at, self.happens, fault)

    def happens(self, fault: Fault) -> None:
        self.world.trace.append((self.engine.now, fault.kind, *fault.args))
        getattr(self, fault.kind)(*fault.args)

    def later(self, delay: int, act: Callable[[], None]) -> None:
        self.engine.at(self.engine.now + delay, lambda _: act())

    # hosts and their processes

    def pause(self, host: int, role: str, lasts: int) -> None:
        """The process is stopped; its host's clock goes on."""
        self._stop(self.world.hosts[host].processes[role], lasts)

    def _stop(self, process: Process, lasts: int) -> None:
        process.paused_until = max(process.paused_until, self.engine.now + lasts)

    def freeze(self, host: int, lasts: int) -> None:
        """The guest is frozen: nothing runs, and its BOOTTIME stands still as well (A2)."""
        frozen = self.world.hosts[host]
        for process in frozen.processes.values():
            self._stop(process, lasts)
        frozen.frozen += lasts

    def kill(self, host: int, role: str, lasts: int) -> None:
        there = self.world.hosts[host]
        process = there.processes[role]
        process.alive = False

        def again() -> None:
            if there.up and there.processes[role] is process:
                self.start(there, role)

        self.later(lasts, again)

    def reboot(self, host: int, lasts: int) -> None:
        """Everything in tmpfs is gone, BOOTTIME starts anew."""
        there = self.world.hosts[host]
        if not there.up:
            return
        for process in there.processes.values():
            process.alive = False
        there.up = False
        there.page = None
        there.maps.clear()
        there.replica = None
        there.offset += 1_000 * MS - self.world.clock(there)
        self.later(lasts, lambda: self.boot(there))

    def hold(self, host: int, label: str, lasts: int) -> None:
        """The next actor of this host that comes to this point stays there."""
        self.world.holds[host, label] = lasts

    def swap(self, host: int, takes: int) -> None:
        there = self.world.hosts[host]
        if there.replica is not None and there.processes["replica"].alive:
            there.replica.swap(takes)

    def reads_from(self, host: int, archive: bool) -> None:
        """The host takes its entries from somewhere else now."""
        self.world.hosts[host].reads_archive = archive

    # the network

    def cut(self, host: int, far: str, lasts: int) -> None:
        self.world.cuts[host, far, "request"] = self.engine.now + lasts
        self.deaf(host, far, lasts)

    def deaf(self, host: int, far: str, lasts: int) -> None:
        """Requests arrive, replies do not."""
        self.world.cuts[host, far, "reply"] = self.engine.now + lasts

    def slow(self, host: int, far: str, by: int, lasts: int) -> None:
        self.world.slowness[host, far] = (by, self.engine.now + lasts)

    # the ledger

    def wal_cut(self, lasts: int) -> None:
        """The standby gets nothing: synchronous commits hang."""
        self.world.cluster.primary.cut_until = self.engine.now + lasts

    def backend(self, kind: str, lasts: int) -> None:
        """The next backend that comes to this point stays there."""
        self.world.cluster.stalls[kind] = lasts

    def terminate(self, _lasts: int = 0) -> None:
        self.world.cluster.primary.terminate()

    def pg_restart(self, lasts: int) -> None:
        server = self.world.cluster.primary
        if server.up:
            server.crash()
            self.later(lasts, server.restart)

    def failover(self, standby_after: int) -> None:
        """The standby is promoted; the old primary is not told, and clients find out one after the other."""
        if not self.world.cluster.failover(standby_after):
            return
        for host in self.world.hosts:
            self.later(int(self.world.random() ** 2 * 700 * MS), lambda host=host: self._reroute(host))  # type: ignore[misc]

    def _reroute(self, host: Host) -> None:
        host.ledger = self.world.cluster.primary

    # Redis

    def redis_flush(self) -> None:
        self.world.redis.flush()

    def redis_down(self, lasts: int) -> None:
        copy = self.world.redis
        copy.up = False
        self.later(lasts, lambda: setattr(copy, "up", True))

    def redis_save(self) -> None:
        self.saved = self.world.redis.snapshot()

    def redis_restore(self) -> None:
        """A stale copy takes its place."""
        self.world.redis.restore(self.saved)

    def redis_split(self, mask: int, stale: bool, lasts: int) -> None:
        """Some hosts talk to another Redis; in the end that one, or the old one, is the only one."""
        other = self.saved.snapshot() if stale else Copy()
        for host in self.world.hosts:
            if mask >> host.index & 1:
                host.redis = other
        survivor = other if self.world.random() < 0.5 else self.world.redis

        def healed() -> None:
            self.world.redis = survivor
            for host in self.world.hosts:
                host.redis = survivor

        self.later(lasts, healed)
