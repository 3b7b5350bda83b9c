"""Redis, as far as the fence can tell: one server whose scripts are atomic, and which may lose or regain anything."""

from dataclasses import dataclass, field

from lostid.replication import copying
from lostid.replication.copying import Head
from lostid.replication.rules import Position
from tests.simulation.ledger import Entry, Reply
from tests.simulation.sabotage import Rules


@dataclass(slots=True)
class Copy:
    """One Redis server's memory: head and fill nonce, chain lines, records (key -> highest card covered)."""

    head: Head = field(default_factory=lambda: Head(None))
    chain: dict[int, bytes] = field(default_factory=dict)
    records: dict[int, int] = field(default_factory=dict)
    up: bool = True

    def snapshot(self) -> "Copy":
        return Copy(self.head, dict(self.chain), dict(self.records))

    def restore(self, other: "Copy") -> None:
        self.head, self.chain, self.records = other.head, dict(other.chain), dict(other.records)

    def flush(self) -> None:
        self.restore(Copy())


def where(copy: Copy, reply: Reply) -> None:
    reply(copy.head)


def append(copy: Copy, rules: Rules, entry: Entry, record: int, reply: Reply) -> None:
    """Compare and append. A sabotaged comparison keeps the higher head, as a relay without one would."""
    if not rules.appends(copy.head, entry):
        reply(False)
        return
    copy.records[entry.key] = record
    copy.chain[entry.seq] = entry.hash
    at = copy.head.position
    if at is None or entry.seq > at.seq:
        copy.head = Head(entry.position)
    reply(True)


def wipe(copy: Copy, nonce: str, reply: Reply) -> None:
    copy.head = Head(None, nonce)
    copy.chain.clear()
    copy.records.clear()
    reply(True)


def fill(copy: Copy, nonce: str, records: dict[int, int], reply: Reply) -> None:
    if copying.fills(copy.head, nonce):
        copy.records.update(records)
        reply(True)
    else:
        reply(False)


def finish(copy: Copy, nonce: str, position: Position, chain: dict[int, bytes], reply: Reply) -> None:
    if copying.fills(copy.head, nonce):
        copy.chain = dict(chain)
        copy.head = Head(position)
        reply(True)
    else:
        reply(False)


def lookup(copy: Copy, key: int, reader: Position, reply: Reply) -> None:
    """One script: the proof and the record."""
    proven = copying.proves(copy.head, copy.chain, reader)
    reply((proven, copy.records.get(key)))
