"""What the ledger and the registry must answer: their state in dictionaries, every decision by the pure rules."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lostid.replication import apply, copying, fence, granting
from lostid.replication.copying import Head
from lostid.replication.fence import Found, Seen, WriteRow
from lostid.replication.granting import Row
from lostid.replication.lease import Reply
from lostid.replication.rules import Position


@dataclass(frozen=True, slots=True)
class Line:
    """An entry's place in the chain, and the document keys it touches."""

    seq: int
    prev: bytes
    hash: bytes
    keys: tuple[bytes, ...] = ()

    @property
    def position(self) -> Position:
        return Position(self.seq, self.hash)


@dataclass
class LedgerModel:
    lines: list[Line]
    hosts: dict[bytes, Row] = field(default_factory=dict)
    writes: dict[str, WriteRow] = field(default_factory=dict)
    drawn: set[int] = field(default_factory=lambda: {0})  # every n there ever was

    def lost_tail(self) -> "LedgerModel":
        """Another server with what this one holds now."""
        return copy.deepcopy(self)

    @property
    def chain(self) -> Mapping[int, bytes]:
        return {line.seq: line.hash for line in self.lines}

    @property
    def head(self) -> Position:
        return self.lines[-1].position

    def join(self, inc: bytes) -> None:
        self.hosts[inc] = granting.join()

    def renew(self, inc: bytes, position: Position, n: int) -> Reply:
        """``n``: what the engine drew."""
        row, reply = granting.renew(self.hosts, self.chain, self.head.seq, inc, position, n)
        if row is not None:
            assert n not in self.drawn
            self.drawn.add(n)
            self.hosts[inc] = row
        return reply

    def evict(self, inc: bytes, n: int) -> bool:
        gone = granting.evicts(self.hosts, inc, n)
        if gone:
            del self.hosts[inc]
        return gone

    def leave(self, inc: bytes) -> bool:
        return self.hosts.pop(inc, None) is not None

    def fence_state(self, position: Position) -> Seen:
        return granting.fence_state(self.hosts, self.chain, position)

    def found(self, idem: str, fingerprint: bytes) -> Found:
        return fence.found(self.writes.get(idem), fingerprint)

    def record(self, idem: str, fingerprint: bytes, line: Line) -> None:
        assert (line.seq, line.prev) == (self.head.seq + 1, self.head.hash)
        self.lines.append(line)
        self.writes[idem] = WriteRow(fingerprint, line.position, None)

    def answer(self, idem: str, position: Position, answer: bytes) -> bytes | None:
        row = self.writes.get(idem)
        if row is None or row.position is None or row.position.seq != position.seq:
            return None
        stored = fence.stores(row.answer, granting.has(self.chain, position), answer)
        if stored is not None:
            self.writes[idem] = replace(row, answer=stored)
        return stored

    def follow(self, position: Position) -> apply.Accept[Line] | apply.Reload:
        return apply.accept_batch(position, self.lines[position.seq + 1 :])

    def confirm(self, keys: Sequence[bytes], position: Position) -> dict[bytes, list[int]] | None:
        """Of each key the entries that touch it."""
        if not granting.has(self.chain, position):
            return None
        return {key: [line.seq for line in self.lines if key in line.keys] for key in keys}


@dataclass
class RegistryModel:
    head: Head = field(default_factory=lambda: Head(None))
    chain: dict[int, bytes] = field(default_factory=dict)
    records: dict[bytes, bytes] = field(default_factory=dict)

    def append(self, line: Line, records: Mapping[bytes, bytes | None]) -> bool:
        if not copying.appends(self.head, line):
            return False
        for key, value in records.items():
            self._put(key, value)
        self.chain[line.seq] = line.hash
        self.head = replace(self.head, position=line.position)
        return True

    def drop(self, at: Position, nonce: str, step: int, keys: Sequence[bytes]) -> bool:
        if not copying.drops(self.head, at, nonce, step):
            return False
        for key in keys:
            self.records.pop(key, None)
        self.head = replace(self.head, drop=(nonce, step + 1))
        return True

    def flip(self, line: Line, nonce: str, steps: int) -> bool:
        if not copying.flips(self.head, line, nonce, steps):
            return False
        self.chain[line.seq] = line.hash
        self.head = Head(line.position)
        return True

    def bring(self, at: Position, records: Mapping[bytes, bytes]) -> bool:
        if not copying.repairs(self.head, at):
            return False
        self.records.update(records)
        self.head = replace(self.head, drop=("", 0))
        return True

    def _put(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            self.records.pop(key, None)
        else:
            self.records[key] = value

    def wipe(self, seen: Head, nonce: str) -> bool:
        if not copying.wipes(self.head, seen):
            return False
        self.head, self.chain = Head(None, nonce), {}
        return True

    def sweep(self, nonce: str, step: int) -> bool:
        return self._step(nonce, step, self.records.clear)

    def fill(self, nonce: str, step: int, records: Mapping[bytes, bytes]) -> bool:
        return self._step(nonce, step, lambda: self.records.update(records))

    def _step(self, nonce: str, step: int, act: Callable[[], None]) -> bool:
        if not copying.fills(self.head, nonce, step):
            return False
        act()
        self.head = replace(self.head, step=step + 1)
        return True

    def finish(self, nonce: str, step: int, at: Position) -> bool:
        if not copying.fills(self.head, nonce, step):
            return False
        self.head, self.chain = Head(at), {at.seq: at.hash}
        return True

    def repair(self, at: Position, key: bytes, value: bytes | None) -> bool:
        """Whether there was something to mend."""
        if not copying.repairs(self.head, at) or self.records.get(key) == value:
            return False
        self._put(key, value)
        self.head = replace(self.head, drop=("", 0))
        return True

    def lookup(self, reader: Position, keys: Sequence[bytes]) -> list[bytes | None] | None:
        if not copying.proves(self.head, self.chain, reader):
            return None
        return [self.records.get(key) for key in keys]
