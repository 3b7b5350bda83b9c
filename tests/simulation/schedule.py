"""A schedule is data: who is there, what is reported when, and what goes wrong. From a seed, or written by hand."""

import random
from dataclasses import dataclass, replace
from typing import Any

from tests.simulation.ledger import AUTH

MS = 1_000_000
SECOND = 1_000 * MS


@dataclass(frozen=True, slots=True)
class Report:
    """At ``at`` somebody reports, through ``host``, all cards of ``key`` up to ``upto`` as lost, or revokes the API key
    that ``key`` stands for. ``more``: it is the release of an import, which reports these keys as well. ``idem``: the
    idempotency key, one of its own if not said."""

    at: int
    host: int
    key: int
    upto: int
    idem: str = ""
    more: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Ask:
    """A check sent at ``at`` to one worker. (Most checks are not planned: they follow commits and receipts.)"""

    at: int
    host: int
    worker: int
    key: int
    card: int


@dataclass(frozen=True, slots=True)
class Fault:
    """``kind`` names a method of `faults.Faults`; ``args`` are its arguments."""

    at: int
    kind: str
    args: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Schedule:
    seed: int
    hosts: int = 2
    workers: int = 2
    end: int = 7 * SECOND
    ppm: tuple[int, ...] = (0, 0, 0)  # how fast each host's clock runs, parts per million
    lagging: tuple[int, ...] = ()  # hosts that read entries from the archive
    lag: int = 0  # how far the archive is behind; 0: it stays where it was at the start
    loss: float = 0.0  # of each request and of each reply
    slow: float = 0.0  # of each message: takes up to 1.3 s
    spread: int = 1 * MS  # of an ordinary message's delay
    base: tuple[tuple[int, int], ...] = ()  # reports long since in force: (key, upto)
    phantoms: tuple[int, ...] = ()  # keys nobody reported, whose bits are set
    reports: tuple[Report, ...] = ()
    asks: tuple[Ask, ...] = ()
    faults: tuple[Fault, ...] = ()
    bursts: bool = True  # checks follow every commit and every receipt


LABELS = (
    "check.lease",
    "check.gen",
    "check.lookup",
    "check.position",
    "check.exact",
    "renew.clock",
    "renew.reply",
    "apply.bits",
    "apply.position",
    "join",
    "flip",
    "relay.append",
    "relay.fill",
    "relay.repair",
    "check.auth",
    "write.committed",
    "write.fenced",
    "evict",
    "start.zeroed",
)
ROLES = ("replica", "relay", "w0", "w1")
BACKENDS = ("renew", "evict", "show.host", "show.gone", "show.entry", "show.write")
KEYS = 8
START, STOP = 250 * MS, 5_200 * MS


class Draw:
    """What a seed makes of the possibilities."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed ^ 0x5EED)
        self.hosts = self.rng.choice((1, 2, 2, 2, 3))
        self.reports: list[tuple[int, int]] = []  # (at, host)
        self.faults: list[Fault] = []

    def host(self) -> int:
        return self.rng.randrange(self.hosts)

    def time(self) -> int:
        return self.rng.randrange(START, STOP)

    def span(self, longest_ms: int) -> int:
        """More often short than long."""
        return int(self.rng.random() ** 2 * longest_ms * MS) + MS

    def fault(self, at: int, kind: str, *args: Any) -> None:
        self.faults.append(Fault(at, kind, args))

    def hold(self, at: int, host: int, *labels: str) -> None:
        stall = self.rng.choice((1, 10, 100, 300, 800, 1_300)) * MS
        self.fault(at, "hold", host, self.rng.choice(labels or LABELS), self.rng.randrange(stall))

    def trouble(self) -> None:
        """One trouble: a fault, or a few that belong together."""
        at, host = self.time(), self.host()
        match self.rng.choices(*zip(*TROUBLES, strict=True))[0]:
            case "pause" | "kill" as kind:
                self.fault(at, kind, host, self.rng.choice(ROLES), self.span(2_500 if kind == "pause" else 1_500))
            case "freeze":
                self.fault(at, "freeze", host, self.span(398))
            case "reboot":
                self.fault(at, "reboot", host, self.span(1_500))
            case "cut" | "deaf" as kind:
                self.fault(at, kind, host, self.rng.choice(("ledger", "ledger", "redis")), self.span(3_000))
            case "slow":
                self.fault(at, "slow", host, self.rng.choice(("ledger", "redis")), self.span(700), self.span(2_000))
            case "failover" | "pg_restart" | "redis_down" as kind:
                self.fault(at, kind, self.span(900))
            case "flush":
                self.fault(at, "redis_flush")
            case "stale":
                self.fault(at, "redis_save")
                self.fault(at + self.span(2_000), "redis_restore")
            case "split":
                mask = self.rng.randrange(1, 1 << self.hosts)
                self.fault(at, "redis_split", mask, self.rng.random() < 0.7, self.span(2_500))
            case "swap":
                self.fault(at, "swap", host, self.span(900))
            case "backend":
                self.fault(at, "backend", self.rng.choice(BACKENDS), self.span(400))
            case "hold":
                self.hold(at, host)
            case "tail":
                self.lost_tail(at)
            case "outlived":
                self.outlived(at, host)
            case "late_grant":
                self.late_grant(at, host)
            case "stale_start":
                self.stale_start(at, host)

    def report(self, at: int) -> None:
        self.reports.append((at, self.host()))

    def lost_tail(self, at: int) -> None:
        """The standby is cut off, commits hang, perhaps become visible unheard; then the standby is promoted."""
        self.fault(at, "wal_cut", self.rng.choice((400, 900, 2_500, 4_000)) * MS)
        self.report(at + self.span(50))
        shown = at
        while self.rng.random() < 0.7:
            shown += self.span(1_800)
            self.fault(shown, "terminate" if self.rng.random() < 0.7 else "pg_restart", self.span(40))
        if self.rng.random() < 0.8:
            self.fault(shown + self.span(2_500), "failover", self.span(800))

    def outlived(self, at: int, host: int) -> None:
        """A report outlives the lease of a host that is cut off; checks there stall while it comes back."""
        cut = self.rng.randrange(1_500, 2_400) * MS
        self.fault(at, "cut", host, "ledger", cut)
        self.report(at + self.rng.randrange(60 * MS))
        for _ in range(3):
            self.hold(at + self.rng.randrange(1_400 * MS, cut + 50 * MS), host, *LABELS[:6])

    def late_grant(self, at: int, host: int) -> None:
        """A grant is used late, or was asked for long before it arrived, by a host that is then cut off."""
        self.hold(at, host, "renew.clock", "renew.reply", "join", "apply.bits", "apply.position")
        self.fault(at + self.span(300), "cut", host, "ledger", self.span(3_000))
        self.report(at + self.span(400))

    def stale_start(self, at: int, host: int) -> None:
        """A replica starts again from whatever it reads, soon after a report, while checks are under way."""
        if self.rng.random() < 0.5:
            self.fault(at, "reads_from", host, True)
            self.fault(at + self.span(2_500), "reads_from", host, False)
        self.report(at)
        dies = at + self.span(200)
        self.fault(dies, "kill", host, "replica", self.span(100))
        self.hold(dies, host, *LABELS[:4])


TROUBLES = (
    ("pause", 8), ("kill", 6), ("freeze", 4), ("reboot", 2), ("cut", 8), ("deaf", 6), ("slow", 4), ("failover", 3),
    ("pg_restart", 3), ("redis_down", 3), ("flush", 4), ("stale", 6), ("split", 6), ("swap", 8), ("backend", 6),
    ("hold", 16), ("tail", 10), ("outlived", 5), ("late_grant", 6), ("stale_start", 5),
)  # fmt: skip


def random_schedule(seed: int) -> Schedule:
    draw = Draw(seed)
    rng = draw.rng
    at = START + draw.span(200)
    while at < STOP:
        draw.report(at)
        at += int(rng.expovariate(1 / (480 * MS))) if rng.random() < 0.8 else rng.randrange(3 * MS)
    for _ in range(rng.randrange(1, 10)):
        draw.trouble()
    watermark = {key: rng.randrange(1, 4) for key in range(KEYS // 2)}
    base = tuple(watermark.items())
    reports: list[Report] = []
    for at, host in sorted(draw.reports):
        kind = rng.random()
        key = rng.randrange(KEYS) if kind < 0.62 else rng.randrange(KEYS, 4 * KEYS)
        key = key if kind < 0.87 else AUTH + len(reports)
        watermark[key] = watermark.get(key, 0) + 1
        reports.append(Report(at, host, key, watermark[key]))
    return Schedule(
        seed=seed,
        hosts=draw.hosts,
        ppm=tuple(rng.choice((0, rng.randrange(-10_000, 10_001), -10_000, 10_000)) for _ in range(draw.hosts)),
        lagging=tuple(h for h in range(draw.hosts) if rng.random() < 0.2),
        lag=rng.choice((0, 5, 80, 600)) * MS,
        loss=rng.choice((0.0, 0.0, 0.01, 0.05)),
        slow=rng.choice((0.0, 0.002, 0.01)),
        spread=rng.choice((1 * MS, 1 * MS, 5 * MS, 40 * MS)),
        base=base,
        phantoms=(1_000, 1_001),
        reports=tuple(reports),
        faults=tuple(sorted(draw.faults, key=lambda fault: fault.at)),
    )


def with_imports(schedule: Schedule) -> Schedule:
    """The same, but every third report is the release of an import, of some keys that others report too."""
    rng = random.Random(schedule.seed ^ 0x1339)
    reports = []
    for place, report in enumerate(schedule.reports):
        more = tuple(key for key in rng.sample(range(2 * KEYS), 4) if key != report.key)
        upto = report.upto + 50 * (place + 1)  # above whatever was reported of any of them before
        released = place % 3 == 0 and report.key < AUTH
        reports.append(replace(report, more=more, upto=upto) if released else report)
    return replace(schedule, reports=tuple(reports))
