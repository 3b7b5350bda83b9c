"""A relay: carries the ledger's entries to Redis, refills it when it is somewhere else. Every host runs one."""

from collections.abc import Callable
from functools import partial

from lostid.replication import copying
from lostid.replication.copying import Head, Move
from lostid.replication.rules import Position
from tests.simulation import redis
from tests.simulation.engine import LOST, PARK, Actor, Process, Steps
from tests.simulation.ledger import Entry, Server, State
from tests.simulation.ledger import Reply as SendReply
from tests.simulation.schedule import MS
from tests.simulation.world import Host, World


class Relay:
    def __init__(self, world: World, host: Host, process: Process) -> None:
        self.world, self.host = world, host
        self.dozing: tuple[Actor, int] | None = None
        Actor(world.engine, process, self.steps, world.engine.now + int(world.random() * 20 * MS))

    def steps(self, actor: Actor) -> Steps:
        world, host = self.world, self.host
        given_time = ""
        while True:
            head = yield from world.ask_redis(actor, host, redis.where)
            seen = LOST if head is LOST else (yield from self.ledger(actor, head.position))
            if seen is LOST:
                yield 40 * MS
                continue
            on_chain, at, entries, doubted = seen
            if on_chain and doubted is not None:
                yield from self.repair(actor, head.position, *doubted)
            move = copying.move(head, on_chain, at)
            if move is Move.REFILL and head.fill and head.fill != given_time:
                given_time = head.fill
                yield 30 * MS
            elif move is Move.REFILL:
                yield from self.refill(actor, head)
            elif move is Move.APPEND:
                yield from self.append(actor, entries)
            else:
                yield from self.doze(actor)

    def doze(self, actor: Actor) -> Steps:
        ticket = actor.waits()
        self.dozing = (actor, ticket)
        self.world.engine.at(self.world.engine.now + int(self.world.random() * 300 * MS), actor.wake, (ticket, None))
        yield PARK
        self.dozing = None

    def nudge(self) -> None:
        if self.dozing is not None:
            actor, ticket = self.dozing
            self.world.engine.at(self.world.engine.now, actor.wake, (ticket, None))

    def ledger(self, actor: Actor, position: Position | None) -> Steps:
        """Where the ledger is, whether it has Redis's position, and the entries after it with their records."""

        def op(server: Server, reply: SendReply) -> None:
            state = self.host.entries_from()
            on_chain = position is not None and state.chain.get(position.seq) == position.hash
            after = state.after(position.seq, 20) if position is not None else []
            entries = [(e, [state.record(key, e.seq) for key in e.keys]) for e in after]
            reply((on_chain, state.head.position, entries, self.doubt(state, position) if on_chain else None))

        return self.world.ask_ledger(actor, self.host, op)

    def doubt(self, state: State, position: Position | None) -> tuple[int, int] | None:
        """Now and then a reader could not believe a record: what it should be at Redis's head."""
        if position is None or self.world.random() > 0.03 or not state.folds:
            return None
        keys = list(state.folds)
        key = keys[int(self.world.random() * len(keys))]
        record = state.record(key, position.seq)
        return None if record is None else (key, record)

    def repair(self, actor: Actor, position: Position, key: int, record: int) -> Steps:
        yield self.world.step(self.host, "relay.repair")
        step = partial(redis.repair, rules=self.world.rules, at=position, key=key, record=record)
        yield from self.world.ask_redis(actor, self.host, lambda copy, reply: step(copy, reply=reply))

    def append(self, actor: Actor, entries: list[tuple[Entry, list[int]]]) -> Steps:
        for entry, records in entries:
            if entry.more:
                yield from self.bring_over(actor, entry, records)
                return
            yield self.world.step(self.host, "relay.append")
            step = partial(redis.append, rules=self.world.rules, entry=entry, record=records[0])
            done = yield from self.world.ask_redis(actor, self.host, lambda copy, reply: step(copy, reply=reply))  # noqa: B023  waited for
            if done is not True:
                return

    def bring_over(self, actor: Actor, entry: Entry, records: list[int]) -> Steps:
        """The release of an import: every record that it changes goes, the head moves, the records come back."""
        nonce, before = self.world.engine.rng.randbytes(4).hex(), Position(entry.seq - 1, entry.prev)
        steps: list[Callable[..., None]] = [
            partial(redis.drop, at=before, nonce=nonce, step=number, key=key) for number, key in enumerate(entry.keys)
        ]
        rules = self.world.rules
        steps += [partial(redis.flip, rules=rules, entry=entry, nonce=nonce, steps=len(steps))]
        back = zip(entry.keys, records, strict=True)
        steps += [partial(redis.repair, rules=rules, at=entry.position, key=key, record=record) for key, record in back]
        for step in steps:
            yield self.world.step(self.host, "relay.append")
            done = yield from self.world.ask_redis(actor, self.host, lambda copy, reply: step(copy, reply=reply))  # noqa: B023  waited for
            if done is not True:
                return

    def refill(self, actor: Actor, seen: Head) -> Steps:
        """Head first, then the old records, the new ones, the head last; every step shows the nonce of our own wipe."""
        world, host = self.world, self.host
        nonce = world.engine.rng.randbytes(4).hex()
        wiped = yield from world.ask_redis(actor, host, lambda copy, reply: redis.wipe(copy, seen, nonce, reply))
        if wiped is not True:
            return
        snapshot = yield from world.ask_ledger(actor, host, self.snapshot)
        if snapshot is LOST:
            return
        position, records = snapshot
        keys = list(records)
        steps: list[Callable[..., None]] = [redis.sweep]
        steps += [partial(redis.fill, records={k: records[k] for k in part}) for part in (keys[::2], keys[1::2])]
        steps += [partial(redis.finish, position=position)]
        for number, act in enumerate(steps):
            yield world.step(host, "relay.fill")
            step = partial(act, nonce=nonce, step=number)
            if (yield from world.ask_redis(actor, host, lambda copy, reply: step(copy, reply=reply))) is not True:  # noqa: B023
                return

    def snapshot(self, server: Server, reply: SendReply) -> None:
        state = self.host.entries_from()
        seq = state.head.seq
        reply((state.head.position, {key: state.record(key, seq) for key in state.folds}))
