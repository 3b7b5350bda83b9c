"""Redis, as far as the fence can tell: one server whose scripts are atomic, and which may lose or regain anything."""

from dataclasses import dataclass, field, replace

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
    _moved(copy, entry)
    reply(True)


def drop(copy: Copy, at: Position, nonce: str, step: int, key: int, reply: Reply) -> None:
    taken = copying.drops(copy.head, at, nonce, step)
    if taken:
        copy.records.pop(key, None)
        copy.head = replace(copy.head, drop=(nonce, step + 1))
    reply(taken)


def flip(copy: Copy, rules: Rules, entry: Entry, nonce: str, steps: int, reply: Reply) -> None:
    taken = rules.flips(copy.head, entry, nonce, steps)
    if taken:
        _moved(copy, entry)
    reply(taken)


def _moved(copy: Copy, entry: Entry) -> None:
    copy.chain[entry.seq] = entry.hash
    at = copy.head.position
    if at is None or entry.seq > at.seq:
        copy.head = Head(entry.position)


def repair(copy: Copy, rules: Rules, at: Position, key: int, record: int, reply: Reply) -> None:
    taken = rules.repairs(copy.head, at)
    if taken:
        copy.records[key] = record
        copy.head = replace(copy.head, drop=("", 0))
    reply(taken)


def wipe(copy: Copy, seen: Head, nonce: str, reply: Reply) -> None:
    """The head and the proofs go; records go by `sweep`."""
    if not copying.wipes(copy.head, seen):
        reply(False)
        return
    copy.head = Head(None, nonce)
    copy.chain.clear()
    reply(True)


def sweep(copy: Copy, nonce: str, step: int, reply: Reply) -> None:
    taken = copying.fills(copy.head, nonce, step)
    if taken:
        copy.records.clear()
        copy.head = replace(copy.head, step=step + 1)
    reply(taken)


def fill(copy: Copy, nonce: str, step: int, records: dict[int, int], reply: Reply) -> None:
    taken = copying.fills(copy.head, nonce, step)
    if taken:
        copy.records.update(records)
        copy.head = replace(copy.head, step=step + 1)
    reply(taken)


def finish(copy: Copy, nonce: str, step: int, position: Position, reply: Reply) -> None:
    """The chain begins anew with the position of the snapshot."""
    taken = copying.fills(copy.head, nonce, step)
    if taken:
        copy.chain = {position.seq: position.hash}
        copy.head = Head(position)
    reply(taken)


def lookup(copy: Copy, key: int, reader: Position, reply: Reply) -> None:
    """One script: the proof and the record."""
    proven = copying.proves(copy.head, copy.chain, reader)
    reply((proven, copy.records.get(key)))
