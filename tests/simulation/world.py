"""One run of one schedule: the hosts, the network between them, and the eyes that watch the promises.

G1: no `clear` for a check sent after the receipt. G3: what has a receipt is on the primary's chain at the end.
G5: no refusal of a card that nobody reported.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lostid.replication.rules import Position
from tests.simulation.engine import LOST, PARK, Actor, Engine, Process, Steps
from tests.simulation.ledger import Cluster, Entry, Reply, Server, State
from tests.simulation.redis import Copy
from tests.simulation.sabotage import Rules
from tests.simulation.schedule import MS, Schedule

NEAR = 50 * MS


@dataclass(slots=True)
class Page:
    """What the replica shows to the workers of its host."""

    gen: int = 0
    position: Position | None = None
    until: int = 0
    auth: int = 0
    inc: bytes | None = None
    flag: bool = False  # for one sabotage only


@dataclass(slots=True, eq=False)
class Host:
    index: int
    ppm: int
    offset: int
    ledger: Server
    redis: Copy
    reads_archive: bool
    page: Page | None = None
    maps: dict[int, set[int]] = field(default_factory=dict)
    gens: int = 0
    frozen: int = 0
    up: bool = True
    processes: dict[str, Process] = field(default_factory=dict)
    replica: Any = None
    relay: Any = None

    def entries_from(self) -> State:
        """Where this host reads entries: they prove themselves, so one that lags will do."""
        return self.ledger.cluster.archive if self.reads_archive else self.ledger.state


class World:
    def __init__(self, schedule: Schedule, rules: Rules) -> None:
        self.schedule = schedule
        self.rules = rules
        self.engine = Engine(schedule.seed)
        self.random = self.engine.random
        self.cluster = Cluster(self.engine, self._base(), schedule.lag)
        self.redis = Copy()
        self.holds: dict[tuple[int, str], int] = {}
        self.cuts: dict[tuple[int, str, str], int] = {}
        self.slowness: dict[tuple[int, str], tuple[int, int]] = {}
        self.receipts: dict[int, tuple[int, int]] = {key: (upto, -1) for key, upto in schedule.base}
        self.receipted: list[Position] = []
        self.attempted: dict[int, int] = dict(schedule.base)
        self.trace: list[tuple[Any, ...]] = []
        self.violations: list[str] = []
        self.counts: Counter[str] = Counter()
        self.on_receipt: Callable[[int, int], None] = lambda key, upto: None
        self.hosts = [self._host(index) for index in range(schedule.hosts)]

    def _base(self) -> State:
        state = State()
        for key, upto in self.schedule.base:
            head = state.head
            seq = head.seq + 1
            entry = Entry(seq, head.hash, self.rules.chain_hash(head.hash, seq, f"base-{seq}"), key, upto)
            state.apply(("entry", entry))
        return state

    def _host(self, index: int) -> Host:
        offset = int(self.random() * 1_000_000 * MS)
        lags = index in self.schedule.lagging
        return Host(index, self.schedule.ppm[index], offset, self.cluster.primary, self.redis, lags)

    # time and stalls

    def clock(self, host: Host) -> int:
        """BOOTTIME of the host: its own rate and offset; it stands still while the guest is frozen."""
        ran = self.engine.now - host.frozen
        return host.offset + ran + ran * host.ppm // 1_000_000

    def step(self, host: Host, label: str) -> int:
        """How long the next step takes: microseconds, unless a fault holds the actor at this very point."""
        if self.holds:
            held = self.holds.pop((host.index, label), None)
            if held is not None:
                self.trace.append((self.engine.now, "held", host.index, label, held))
                return held
        return 500 + int(self.random() * 20_000)

    # the network

    def reaches(self, host: Host, far: str, way: str) -> bool:
        until = self.cuts.get((host.index, far, way))
        if until is not None and until > self.engine.now:
            return False
        return not self.schedule.loss or self.random() >= self.schedule.loss

    def delay(self, host: Host, far: str) -> int:
        r = self.random()
        schedule = self.schedule
        if r < schedule.slow:
            return int(self.random() * 1_300 * MS)
        took = 40_000 + int(r * r * r * schedule.spread)
        slowness = self.slowness.get((host.index, far))
        if slowness is not None and slowness[1] > self.engine.now:
            took += int(self.random() * slowness[0])
        return took

    def ask_ledger(
        self, actor: Actor, host: Host, op: Callable[[Server, Reply], None], timeout: int = 700 * MS
    ) -> Steps:
        return Request(self, actor, host, "ledger", host.ledger, op, timeout).sent()

    def ask_redis(self, actor: Actor, host: Host, op: Callable[[Copy, Reply], None], timeout: int = 80 * MS) -> Steps:
        return Request(self, actor, host, "redis", host.redis, op, timeout).sent()

    # the promises

    def receipt(self, position: Position, keys: tuple[int, ...], upto: int) -> None:
        """The receipt leaves now."""
        self.trace.append((self.engine.now, "receipt", position.seq, keys[0], upto))
        self.counts["receipts"] += 1
        self.receipted.append(position)
        for key in keys:
            if upto > self.receipts.get(key, (0, 0))[0]:
                self.receipts[key] = (upto, self.engine.now)
            self.on_receipt(key, upto)

    def answered(self, host: Host, key: int, card: int, owed: int, near: bool, status: str) -> None:
        """``owed``: the highest card of the key that had a receipt when the check was sent."""
        now = self.engine.now
        self.trace.append((now, status, host.index, key, card))
        self.counts[status] += 1
        if near and status != "503":
            self.counts["near"] += 1
        if status == "clear" and card <= owed:
            self.violations.append(f"G1: card {key}/{card} is clear on host {host.index} at {now}")
        elif status == "reported" and card > self.attempted.get(key, 0):
            self.violations.append(f"G5: card {key}/{card} is refused on host {host.index} at {now}")

    def finish(self) -> None:
        chain = self.cluster.primary.state.chain
        for position in self.receipted:
            if chain.get(position.seq) != position.hash:
                self.violations.append(f"G3: entry {position.seq} has a receipt and is gone")


class Request:
    """One request and its reply. The caller hears the reply or, at the deadline, `LOST`: then it may have been
    carried out, may be carried out later, or never."""

    __slots__ = ("actor", "deadline", "far", "host", "op", "server", "settled", "ticket", "world")

    def __init__(
        self, world: World, actor: Actor, host: Host, far: str, server: Any, op: Callable[[Any, Reply], None], wait: int
    ) -> None:
        self.world, self.actor, self.host, self.far, self.server, self.op = world, actor, host, far, server, op
        self.deadline = world.engine.now + wait
        self.ticket = actor.waits()
        self.settled = False

    def sent(self) -> Steps:
        world, engine = self.world, self.world.engine
        arrives = engine.now + world.delay(self.host, self.far)
        if not world.reaches(self.host, self.far, "request"):
            self.give_up()
        else:
            engine.at(arrives, self.arrived)
            if arrives >= self.deadline:
                self.give_up()
        value = yield PARK
        return value

    def give_up(self) -> None:
        self.settled = True
        self.world.engine.at(self.deadline, self.actor.wake, (self.ticket, LOST))

    def arrived(self, _: Any) -> None:
        if self.server.up:
            self.op(self.server, self.replied)
        if not self.settled:
            self.give_up()

    def replied(self, value: Any) -> None:
        world, engine = self.world, self.world.engine
        if world.reaches(self.host, self.far, "reply"):
            then = engine.now + world.delay(self.host, self.far)
            engine.at(then, self.actor.wake, (self.ticket, value))
            self.settled = self.settled or then <= self.deadline
