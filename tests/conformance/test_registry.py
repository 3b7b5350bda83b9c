"""The registry's scripts answer what the pure rules answer: the same random operations on both."""

import copy
import random
from collections.abc import Callable

import pytest
import redis

from lostid.domain.position import Position
from lostid.registry import head as registry_head
from lostid.registry.client import open_async_client
from lostid.registry.filling import Filler, Overtaken
from lostid.registry.reader import Question, Reader
from lostid.registry.writer import Line as RealLine
from lostid.registry.writer import Writer
from lostid.replication.copying import Head
from tests.conformance.models import Line, RegistryModel
from tests.registry.making import LAYOUT, at, flush, hash_of, key, value

BRANCHES = ("", "", "", "other")


class Relay:
    """One of several that know nothing of each other: what it last saw of Redis, and the fill that it takes for its."""

    def __init__(self, client: redis.Redis) -> None:
        self.writer = Writer(client)
        self.seen = registry_head.EMPTY
        self.filler: Filler | None = None
        self.nonce, self.step = "", 0
        self.dropping, self.dropped = "", 0


class Both:
    """A Valkey, its model, two relays and a reader."""

    def __init__(self, client: redis.Redis, reader: Reader, choose: random.Random) -> None:
        self.client, self.reader, self.choose = client, reader, choose
        self.model = RegistryModel()
        self.relays = [Relay(client), Relay(client)]
        self.saved: tuple[dict[bytes, bytes], RegistryModel] = ({}, RegistryModel())
        self.taken = self.flipped = 0

    @property
    def relay(self) -> Relay:
        return self.choose.choice(self.relays)

    def position(self) -> Position:
        if self.model.head.position is not None and self.choose.random() < 0.7:
            return self.model.head.position
        return at(self.choose.randrange(12), self.choose.choice(BRANCHES))

    def drawn(self, seq: int) -> dict[bytes, bytes]:
        numbers = self.choose.sample(range(10), self.choose.randrange(4))
        return {key(n): value(n, seq, self.choose.randrange(100, 900)) for n in sorted(numbers, key=key)}

    async def look(self) -> None:
        relay = self.relay
        relay.seen = relay.writer.head()

    async def append(self) -> None:
        """The next entry of the head's chain, often; or one that a late relay would bring."""
        position = self.position()
        seq, prev = position.seq + 1, position.hash
        records: dict[bytes, bytes | None] = {**self.drawn(seq)}
        for gone in list(records)[:1]:
            records[gone] = None if self.choose.random() < 0.3 else records[gone]
        line = Line(seq, prev, hash_of(seq, self.choose.choice(BRANCHES)))
        taken = self.relay.writer.append([RealLine(line.seq, line.prev, line.hash, records)], LAYOUT)
        assert (taken == 1) is self.model.append(line, records)
        self.taken += taken

    async def wipe(self) -> None:
        relay = self.relay
        nonce = relay.writer.wipe(relay.seen, LAYOUT, 0)
        assert (nonce is not None) is self.model.wipe(Head(relay.seen.position, relay.seen.fill), nonce or "")
        if nonce is not None:
            relay.filler, relay.nonce, relay.step = Filler(self.client, nonce, LAYOUT), nonce, 0

    async def sweep(self) -> None:
        relay = self.relay
        if relay.filler is not None and self.model.records:
            self._step(relay, relay.filler.sweep, self.model.sweep(relay.nonce, relay.step))

    async def fill(self) -> None:
        relay, records = self.relay, self.drawn(5)
        if relay.filler is not None and records:
            filler = relay.filler
            taken = self.model.fill(relay.nonce, relay.step, records)
            self._step(relay, lambda: filler.fill([(1, list(records.items()))]), taken)

    async def finish(self) -> None:
        relay, position = self.relay, at(self.choose.randrange(8))
        if relay.filler is not None:
            filler = relay.filler
            self._step(relay, lambda: filler.finish(position), self.model.finish(relay.nonce, relay.step, position))

    async def refill(self) -> None:
        """All of it by one relay, as it should be: unless nothing is right about what it saw."""
        for step in (self.look, self.wipe, self.sweep, self.fill, self.finish):
            await step()

    def _step(self, relay: Relay, act: Callable[[], None], expected: bool) -> None:
        relay.step += 1
        if expected:
            act()
            self.taken += 1
        else:
            with pytest.raises(Overtaken):
                act()

    async def repair(self) -> None:
        position, number = self.position(), self.choose.randrange(10)
        record = value(number, position.seq) if self.choose.random() < 0.7 else None
        mended = self.relay.writer.repair(position, LAYOUT, key(number), record)
        assert mended is self.model.repair(position, key(number), record)

    async def drop(self) -> None:
        """The first step of a relay that brings the head over an import, or its next one."""
        relay, position = self.relay, self.position()
        if self.choose.random() < 0.4 or not relay.dropped:
            relay.dropping, relay.dropped = self.choose.randbytes(4).hex(), 0
        keys = [key(n) for n in self.choose.sample(range(10), 2)]
        taken = relay.writer.drop(position, LAYOUT, relay.dropping, relay.dropped, keys)
        assert taken is self.model.drop(position, relay.dropping, relay.dropped, keys)
        relay.dropped += 1

    async def flip(self) -> None:
        """At the end of its steps, often; sometimes by a relay that missed one."""
        relay, position = self.relay, self.position()
        line = Line(position.seq + 1, position.hash, hash_of(position.seq + 1, self.choose.choice(BRANCHES)))
        steps = max(0, relay.dropped - (self.choose.random() < 0.1))
        real = RealLine(line.seq, line.prev, line.hash, {})
        taken = relay.writer.flip(real, LAYOUT, relay.dropping, steps, 7)
        assert taken is self.model.flip(line, relay.dropping, steps)
        self.flipped += taken
        self.taken += taken

    async def over(self) -> None:
        """All of it, as it should be: unless another relay, or a repair, comes in between."""
        for step in (self.drop, self.drop, self.choose.choice((self.repair, self.look, self.drop)), self.flip):
            await step()

    async def bring(self) -> None:
        position = self.position()
        records = self.drawn(position.seq)
        taken = self.relay.writer.bring(position, LAYOUT, 7, self.choose.choice((0, 1, None)), records)
        assert taken is self.model.bring(position, records)

    async def lookup(self) -> None:
        """Positions of now, of earlier and of other chains."""
        position, keys = self.position(), [key(n) for n in self.choose.sample(range(10), 3)]
        [read] = await self.reader.read([Question(position, keys)])
        assert read == self.model.lookup(position, keys)

    async def save(self) -> None:
        dumps = {
            bytes(name): self.client.dump(name) or b"" for name in self.client.keys("*") if isinstance(name, bytes)
        }
        self.saved = (dumps, copy.deepcopy(self.model))

    async def restore(self) -> None:
        """A stale copy takes the server's place, or an empty one."""
        dumps, model = self.saved if self.choose.random() < 0.7 else ({}, RegistryModel())
        flush(self.client)
        for name, dump in dumps.items():
            self.client.restore(name, 0, dump)
        self.model = copy.deepcopy(model)

    async def agree(self) -> None:
        head = self.relays[0].writer.head()
        nonce, _, steps = head.drop.partition(":")
        assert Head(head.position, head.fill, head.step, (nonce, int(steps or 0))) == self.model.head


OPERATIONS = (
    "look", "append", "wipe", "sweep", "fill", "finish", "refill", "repair", "lookup", "save", "restore", "drop",
    "flip", "bring", "over",
)  # fmt: skip
WEIGHTS = (6, 12, 1, 2, 4, 3, 2, 3, 8, 1, 1, 4, 4, 2, 12)


@pytest.mark.parametrize("seed", range(8))
async def test_registry(seed: int, client: redis.Redis, valkey_url: str) -> None:
    """Every reply is the rules', with two relays, stale copies and other chains about."""
    choose = random.Random(seed)
    reader = Reader(open_async_client(valkey_url), timeout=5)
    both = Both(client, reader, choose)
    try:
        for name in choose.choices(OPERATIONS, WEIGHTS, k=600):
            await getattr(both, name)()
            await both.agree()
    finally:
        await reader.close()
    assert both.taken > 30
    assert both.flipped > 3
