"""Puts a world together from a schedule and lets it run."""

import gc
import hashlib
from dataclasses import dataclass
from typing import Any

from tests.simulation.engine import Actor, Process, Steps
from tests.simulation.faults import Faults
from tests.simulation.ledger import AUTH, Entry, Server
from tests.simulation.relay import Relay
from tests.simulation.replica import Replica
from tests.simulation.sabotage import Sabotage, rules
from tests.simulation.schedule import MS, Ask, Report, Schedule
from tests.simulation.worker import Check, Write
from tests.simulation.world import Host, World


@dataclass(frozen=True)
class Outcome:
    violations: tuple[str, ...]
    counts: dict[str, int]
    trace: tuple[tuple[Any, ...], ...]
    drawn: tuple[Any, ...]  # the state of the random numbers at the end, and how many events there were

    @property
    def digest(self) -> str:
        """The whole run in one word: any difference in what happened, or in what was drawn, shows."""
        everything = (self.violations, sorted(self.counts.items()), self.trace, self.drawn)
        return hashlib.sha256(repr(everything).encode()).hexdigest()


def run(schedule: Schedule, sabotage: Sabotage | None = None) -> Outcome:
    """The same schedule and sabotage give the same outcome, digest and all."""
    world = World(schedule, rules(sabotage))
    Play(world)
    gc.disable()  # what a run leaves is thrown away as a whole: looking for it meanwhile costs a fifth of the time
    try:
        world.engine.run(schedule.end)
    finally:
        gc.enable()
    world.finish()
    drawn = (world.engine.rng.getstate(), world.engine.serial)
    return Outcome(tuple(world.violations), dict(world.counts), tuple(world.trace), drawn)


class Play:
    """Starts everybody, and sees to it that what is planned happens and that checks follow what happens."""

    def __init__(self, world: World) -> None:
        self.world, self.engine = world, world.engine
        self.bursts = world.schedule.bursts
        world.cluster.on_visible = self.on_visible
        world.on_receipt = self.on_receipt
        for host in world.hosts:
            self.boot(host)
        for index, report in enumerate(world.schedule.reports):
            self.engine.at(report.at, self.report, (report.idem or f"report-{index}", report))
        for ask in world.schedule.asks:
            self.engine.at(ask.at, self.check, ask)
        Faults(world, self.boot, self.start)

    def boot(self, host: Host) -> None:
        host.up = True
        for role in ("relay", "replica", *(f"w{n}" for n in range(self.world.schedule.workers))):
            self.start(host, role)

    def start(self, host: Host, role: str) -> None:
        process = host.processes[role] = Process(role)
        if role == "replica":
            host.replica = Replica(self.world, host, process)
        elif role == "relay":
            host.relay = Relay(self.world, host, process)

    # reports

    def report(self, planned: tuple[str, Report]) -> None:
        """The police's client: it asks again, with the same idempotency key, until it holds the receipt."""
        idem, report = planned
        world = self.world
        for key in (report.key, *report.more):
            world.attempted[key] = max(world.attempted.get(key, 0), report.upto)

        def steps(actor: Actor) -> Steps:
            host = world.hosts[report.host]
            for _ in range(8):
                write = None
                if host.up:
                    process = host.processes[f"w{int(world.random() * world.schedule.workers)}"]
                    write = Write(world, host, process, idem, report)
                for wait in (5, 45, 250, 700, 1_400):
                    yield wait * MS
                    if write is None or write.over:
                        break
                if write is not None and write.receipt:
                    return
                host = world.hosts[int(world.random() * len(world.hosts))]

        Actor(self.engine, Process("client"), steps, self.engine.now)

    # checks

    def check(self, ask: Ask) -> None:
        Check(self.world, self.world.hosts[ask.host], f"w{ask.worker}", ask.key, ask.card)

    def sent_after(self, delay: int, host: int, worker: int, key: int, card: int) -> None:
        at = self.engine.now + delay
        self.engine.at(at, self.check, Ask(at, host, worker, key, card))

    def on_visible(self, server: Server, entry: Entry) -> None:
        """NOTIFY; and a check meanwhile, which may answer either way."""
        random, workers = self.world.random, self.world.schedule.workers
        for host in self.world.hosts:
            if host.ledger is server:
                self.engine.at(self.engine.now + 30_000 + int(random() * 300_000), self.notify, host)
            if self.bursts:
                delay = int(random() * 3 * MS)
                for key in entry.keys:
                    self.sent_after(delay, host.index, int(random() * workers), key, entry.upto)

    def notify(self, host: Host) -> None:
        if host.up:
            host.replica.nudge("follow")
            host.relay.nudge()

    def on_receipt(self, key: int, upto: int) -> None:
        """Every worker is asked at once, every host again and again; and about cards that nobody reported."""
        if not self.bursts:
            return
        random, workers = self.world.random, self.world.schedule.workers
        for host in range(len(self.world.hosts)):
            for worker in range(workers):
                self.sent_after(int(random() ** 3 * MS), host, worker, key, upto)
            for longest in (10 * MS, 300 * MS, 1_500 * MS):
                self.sent_after(int(random() * longest), host, int(random() * workers), key, upto)
            unrevoked, unreported = (2 * AUTH, 1), ((key, upto + 50) if random() < 0.5 else (1_000, 1))
            nobodys = unrevoked if key >= AUTH else unreported
            self.sent_after(int(random() * 50 * MS), host, int(random() * workers), *nobodys)
