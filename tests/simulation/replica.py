"""The replica of one host: it loads, follows, renews, swaps filters, evicts. Its actors share a process."""

from dataclasses import replace
from functools import partial

from lostid.replication import apply, evict, lease, swap
from lostid.replication.lease import Lease, Phase, Reply
from lostid.replication.rules import TERMS, Position
from tests.simulation import statements
from tests.simulation.engine import LOST, PARK, Actor, Process, Steps
from tests.simulation.ledger import AUTH, Entry
from tests.simulation.ledger import Reply as SendReply
from tests.simulation.schedule import MS
from tests.simulation.world import Host, Page, World


class Replica:
    def __init__(self, world: World, host: Host, process: Process) -> None:
        self.world, self.host, self.process = world, host, process
        self.rules = world.rules
        if host.page is None:
            host.page = Page()
        self.page = host.page
        self.lease = Lease()
        self.build: swap.Build | None = None
        self.samples: dict[bytes, evict.Sample] = {}
        now = world.engine.now
        Actor(world.engine, process, self.follow, now)
        Actor(world.engine, process, self.renew, now)
        self.dozing: dict[str, tuple[Actor, int]] = {}
        Actor(world.engine, process, self.evict, now + int(world.random() * 300 * MS))

    def clock(self) -> int:
        return self.world.clock(self.host)

    def show(self, state: Lease) -> None:
        """Take over a state; the page follows at once."""
        self.lease = state
        if self.page.until != state.until_ns:
            self.page.until = state.until_ns

    # load, follow

    def start(self, actor: Actor) -> Steps:
        """Restart and LEAVE: the page shows no lease, then the old row goes, then what is there is looked at."""
        world, page = self.world, self.page
        self.lease = lease.restart(self.clock(), TERMS)
        if self.rules.zero_before_leaving:
            page.until = 0
        yield world.step(self.host, "start.zeroed")
        if page.inc is not None and self.rules.inc_used_once:
            yield from world.ask_ledger(actor, self.host, lambda s, r: statements.leave(s, page.inc or b"", r))
        if page.position is not None and world.random() < 0.6:
            known = yield from self.on_chain(actor, page.position)
            if known:
                self.show(lease.loaded(self.lease))

    def on_chain(self, actor: Actor, position: Position) -> Steps:
        while True:
            known = yield from self.world.ask_ledger(
                actor, self.host, lambda server, reply: statements.has(server, position, reply)
            )
            if known is not LOST:
                return known
            yield 20 * MS

    def follow(self, actor: Actor) -> Steps:
        yield from self.start(actor)
        while True:
            if self.lease.phase is Phase.LOADING:
                yield from self.load(actor)
                continue
            if self.build is not None:
                yield from self.take_over(actor)
            assert self.page.position is not None
            entries = yield from self.read_after(actor, self.page.position)
            if entries is LOST or not entries:
                yield from self.doze(actor, "follow", 150 * MS)
                continue
            step = apply.accept_batch(self.page.position, entries)
            if isinstance(step, apply.Reload):
                self.show(lease.reload(self.lease))
                yield self.world.step(self.host, "reload")
            else:
                yield from self.apply(step)

    def read_after(self, actor: Actor, position: Position) -> Steps:
        def op(server: object, reply: SendReply) -> None:
            statements.after(self.host.entries_from(), position, reply)

        return self.world.ask_ledger(actor, self.host, op, 200 * MS)

    def doze(self, actor: Actor, who: str, longest: int) -> Steps:
        """Every wait also polls."""
        ticket = actor.waits()
        self.dozing[who] = (actor, ticket)
        engine = self.world.engine
        engine.at(engine.now + longest, actor.wake, (ticket, None))
        yield PARK
        self.dozing.pop(who, None)

    def nudge(self, who: str) -> None:
        if who in self.dozing:
            actor, ticket = self.dozing.pop(who)
            self.world.engine.at(self.world.engine.now, actor.wake, (ticket, None))

    def apply(self, step: apply.Accept[Entry]) -> Steps:
        """`apply.ORDER`: bits of all keys, then the position, then RENEW."""
        bits = self.host.maps[self.page.gen]
        if not self.rules.bits_first:
            self.page.position = step.position
            self.nudge("renew")
        for entry in step.entries:
            yield self.world.step(self.host, "apply.bits")
            if entry.key < AUTH:
                bits.update(entry.keys)
            else:
                self.page.auth = entry.seq
        yield self.world.step(self.host, "apply.position")
        self.page.position = step.position
        self.nudge("renew")

    def load(self, actor: Actor) -> Steps:
        """A new generation from a snapshot; it is shown when nobody can miss what the page showed before."""
        build = yield from self.snapshot(actor, 60 * MS)
        while build is not None:
            entries = yield from self.read_after(actor, build.position)
            if entries is LOST:
                yield 10 * MS
                continue
            if entries:
                build = yield from self.carry(build, entries)
            elif self.rules.may_show(build, self.page.position, self.lease, self.clock()):
                if self.page.position != build.position:
                    self.page.position = None
                    yield self.world.step(self.host, "taken_down")
                self.page.auth = build.position.seq
                yield from self.flip(build)
                self.page.position = build.position
                yield self.world.step(self.host, "apply.position")
                self.show(lease.loaded(self.lease))
                self.nudge("renew")
                return
            else:
                yield 25 * MS

    def snapshot(self, actor: Actor, takes: int) -> Steps:
        def op(server: object, reply: SendReply) -> None:
            state = self.host.entries_from()
            reply((state.head.position, {key for e in state.entries for key in e.keys}))

        read = yield from self.world.ask_ledger(actor, self.host, op)
        if read is LOST:
            yield 20 * MS
            return None
        position, keys = read
        yield int(self.world.random() * takes)
        self.host.gens += 1
        self.host.maps[self.host.gens] = keys | set(self.world.schedule.phantoms)
        return swap.Build(self.host.gens, position)

    def carry(self, build: swap.Build, entries: list[Entry]) -> Steps:
        bits = self.host.maps[build.gen]
        for entry in entries:
            yield self.world.step(self.host, "carry")
            bits.update(entry.keys)
            carried = swap.carry(build, entry)
            if carried is None:
                return None
            build = carried
        return build

    def flip(self, build: swap.Build) -> Steps:
        self.page.gen = build.gen
        self.world.trace.append((self.world.engine.now, "flip", self.host.index, build.gen))
        yield self.world.step(self.host, "flip")

    # a swap while the host answers

    def swap(self, takes: int) -> None:
        Actor(self.world.engine, self.process, partial(self.rebuild, takes), self.world.engine.now)

    def rebuild(self, takes: int, actor: Actor) -> Steps:
        self.build = yield from self.snapshot(actor, takes)

    def take_over(self, actor: Actor) -> Steps:
        """Carry over what was applied since the snapshot, then flip: this actor alone moves the page's position."""
        build, self.build = self.build, None
        assert self.page.position is not None
        if not self.rules.carry_over and build is not None:
            yield from self.flip(build)
            return
        while build is not None and build.position.seq < self.page.position.seq:
            entries = yield from self.read_after(actor, build.position)
            if entries is LOST:
                continue
            if not entries:
                return
            build = yield from self.carry(build, [e for e in entries if e.seq <= self.page.position.seq])
        if build is None:
            return
        if swap.may_flip(build, self.page.position):
            yield from self.flip(build)
        elif build.position.seq > self.page.position.seq:
            self.build = build

    # the lease

    def renew(self, actor: Actor) -> Steps:
        world, host = self.world, self.host
        while True:
            state, position = self.lease, self.page.position
            if state.phase is Phase.LOADED:
                yield from self.join(actor)
            elif state.phase is Phase.DOUBTING and position is not None:
                known = yield from self.on_chain(actor, position)
                self.show(lease.after_doubt(self.lease, known))
            elif position is not None and lease.renew_due(state, position, self.clock()):
                sent, request = lease.ask(state, position, self.clock())
                self.show(sent)
                yield world.step(host, "renew.clock")
                said = yield from world.ask_ledger(
                    actor,
                    host,
                    lambda s, r, q=request: statements.renew(s, self.rules, q.inc, q.position, r),  # type: ignore[misc]
                )
                yield world.step(host, "renew.reply")
                self.heard(Reply.LOST if said is LOST else said, request)
            else:
                yield from self.doze(actor, "renew", 125 * MS)

    def heard(self, reply: Reply, request: lease.Renew) -> None:
        waited_for = self.lease.asked_ns == request.sent_ns
        state = lease.after_renew(self.lease, reply, request.sent_ns, TERMS)
        self.world.trace.append((self.world.engine.now, reply.value, self.host.index, request.position.seq))
        if waited_for and reply is Reply.GRANTED:
            if not self.rules.lease_from_sending:
                state = replace(state, until_ns=self.clock() + TERMS.lease_ns)
            if not self.rules.lease_by_clock:
                self.page.flag = True
                Actor(self.world.engine, self.process, self.lower_flag, self.world.engine.now)
        self.show(state)

    def lower_flag(self, actor: Actor) -> Steps:
        yield TERMS.lease_ns
        if self.clock() >= self.page.until:
            self.page.flag = False

    def join(self, actor: Actor) -> Steps:
        world, host = self.world, self.host
        inc = world.engine.rng.randbytes(16) if self.rules.inc_used_once else b"host-%d" % host.index
        self.show(lease.join(self.lease, inc))
        self.page.inc = inc
        yield world.step(host, "join")
        if self.rules.join_apart:
            said = yield from world.ask_ledger(actor, host, lambda server, reply: statements.join(server, inc, reply))
        else:
            said = True
        self.show(lease.after_join(self.lease, said is True))

    # evict

    def evict(self, actor: Actor) -> Steps:
        world, host = self.world, self.host
        while True:
            yield 400 * MS
            rows = yield from world.ask_ledger(actor, host, statements.host_rows)
            if rows is LOST:
                continue
            yield world.step(host, "evict")
            self.samples = evict.observe(self.samples, rows, self.clock())
            for sample in self.rules.candidates(self.samples, self.clock(), TERMS):
                yield from world.ask_ledger(
                    actor,
                    host,
                    lambda s, r, c=sample: statements.evict(s, self.rules, c.inc, c.n, r),  # type: ignore[misc]
                )
