"""A worker: one check, step by step, and the API's side of a report."""

from lostid.replication import checking, fence, lease
from lostid.replication.checking import Exact, KeysAsOf
from lostid.replication.fence import Found, Withhold
from lostid.replication.rules import TERMS, Position
from tests.simulation import redis, statements
from tests.simulation.engine import LOST, Actor, Process, Steps
from tests.simulation.ledger import AUTH
from tests.simulation.schedule import MS, Report
from tests.simulation.statements import Recorded
from tests.simulation.world import NEAR, Host, Page, World


class Check:
    """A check of one card, sent now to one worker."""

    __slots__ = ("card", "host", "key", "near", "owed", "page", "world")

    def __init__(self, world: World, host: Host, worker: str, key: int, card: int) -> None:
        self.world, self.host, self.key, self.card = world, host, key, card
        self.owed, since = world.receipts.get(key, (0, -1))
        self.near = card == self.owed and since >= 0 and world.engine.now - since < NEAR
        world.counts["sent"] += 1
        if host.up and host.page is not None:
            self.page: Page = host.page
            arrives = world.engine.now + 30_000 + int(world.random() * 200_000)
            Actor(world.engine, host.processes[worker], self.steps, arrives)

    def steps(self, actor: Actor) -> Steps:
        """`checking`: the lease, then the lookup, then perhaps EXACT, the clock last."""
        world, host, page, rules = self.world, self.host, self.page, self.world.rules
        position = None
        if not rules.position_after_lease:
            position = page.position
            yield world.step(host, "check.position_early")
        until = page.until
        yield world.step(host, "check.lease")
        if self.key >= AUTH:
            yield from self.admission(actor, until)
            return
        gen = page.gen
        yield world.step(host, "check.gen")
        hit = self.key in host.maps.get(gen, ())
        yield world.step(host, "check.lookup")
        status = "clear"
        if hit:
            status = yield from self.exact(actor, position or page.position)
        if not rules.lease_first:
            until = page.until
            yield world.step(host, "check.lease_late")
        fresh = lease.alive(until, world.clock(host)) if rules.lease_by_clock else page.flag
        if not fresh and (rules.exact_needs_lease or not hit):
            status = "503"
        world.answered(host, self.key, self.card, self.owed, self.near, status)

    def admission(self, actor: Actor, until: int) -> Steps:
        """Is this API key admitted? By the worker's cache, if it is as new as the page says."""
        world, page = self.world, self.page
        gen = page.gen
        yield world.step(self.host, "check.gen")
        auth = page.auth
        yield world.step(self.host, "check.auth")
        held = actor.process.memory
        if held is None or not world.rules.keys_current(held[0], gen, auth):
            held = yield from self.load_keys(actor, gen)
        status = "503"
        if held is not None and world.rules.keys_current(held[0], gen, auth):
            status = "reported" if self.key in held[1] else "clear"
        if not lease.alive(until, world.clock(self.host)):
            status = "503"
        world.answered(self.host, self.key, self.card, self.owed, self.near, status)

    def load_keys(self, actor: Actor, gen: int) -> Steps:
        world, position = self.world, self.page.position
        if position is None:
            return None
        yield world.step(self.host, "check.position")
        read = yield from world.ask_ledger(actor, self.host, lambda s, r: statements.revoked(s, position, r), 300 * MS)
        there, keys, head = (False, set(), 0) if read is LOST else read
        if read is LOST or (world.rules.keys_by_position and not there):
            return None
        actor.process.memory = (KeysAsOf(gen, position.seq if world.rules.keys_by_position else head), keys)
        return actor.process.memory

    def exact(self, actor: Actor, position: Position | None) -> Steps:
        world, host = self.world, self.host
        if position is None:
            return "503"
        if world.rules.filter_may_convict:
            return "reported"
        yield world.step(host, "check.position")
        read = yield from world.ask_redis(actor, host, lambda c, r: redis.lookup(c, self.key, position, r))
        yield world.step(host, "check.exact")
        proven, record = (False, None) if read is LOST else read
        if world.rules.registry_says(read is not LOST, proven, record) is Exact.ASK_LEDGER:
            world.counts["ledger"] += 1
            read = yield from world.ask_ledger(
                actor, host, lambda s, r: statements.confirm(s, self.key, position, r), 300 * MS
            )
            there, record = (False, None) if read is LOST else read
            if checking.ledger_says(read is not LOST, there) is Exact.UNPROVEN:
                return "503"
        return "reported" if record is not None and self.card <= record else "clear"


class Write:
    """One attempt at a report, from a client's request to the receipt or to nothing."""

    def __init__(self, world: World, host: Host, process: Process, idem: str, report: Report) -> None:
        self.world, self.host, self.idem, self.report = world, host, idem, report
        self.receipt = False
        self.over = False
        Actor(world.engine, process, self.steps, world.engine.now + 100_000)

    def steps(self, actor: Actor) -> Steps:
        yield from self.attempt(actor)
        self.over = True

    def attempt(self, actor: Actor) -> Steps:
        world, host, rules = self.world, self.host, self.world.rules
        recorded: Recorded = yield from world.ask_ledger(
            actor, host, lambda s, r: statements.report(s, rules, self.idem, self.report, r), 1_500 * MS
        )
        if recorded is LOST or recorded.position is None:
            return
        yield world.step(host, "write.committed")
        position = recorded.position
        if recorded.found is not Found.REPLAY:
            yield from self.fence(actor, fence.begin(position, world.clock(host)))
            yield world.step(host, "write.fenced")
        elif not rules.replay_commits:
            self.send(recorded)
            return
        stored = yield from world.ask_ledger(
            actor, host, lambda s, r: statements.answer(s, rules, self.idem, position, r), 1_500 * MS
        )
        outcome = fence.answer(None if stored is LOST else stored, stored is not LOST)
        if not isinstance(outcome, Withhold):
            self.send(recorded)

    def fence(self, actor: Actor, wait: fence.Fence) -> Steps:
        world, host = self.world, self.host
        pause = MS // 2
        while True:
            seen = yield from world.ask_ledger(
                actor, host, lambda s, r: statements.fence_state(s, wait.position, r), 100 * MS
            )
            if world.rules.passed(wait, None if seen is LOST else seen, world.clock(host), TERMS) is not None:
                return
            yield pause
            pause = min(pause * 2, 40 * MS)

    def send(self, recorded: Recorded) -> None:
        assert recorded.position is not None
        self.receipt = True
        self.world.receipt(recorded.position, (self.report.key, *self.report.more), self.report.upto)
