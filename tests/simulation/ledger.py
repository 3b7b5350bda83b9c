"""PostgreSQL with a synchronous standby, as far as the fence can tell.

A commit goes: local WAL, shipped in order to the standby, acknowledged, then visible, locks released, reply. What can
happen to it: a crash or a terminated backend makes it visible on the primary although the standby never got it, and
nobody hears; a failover then loses it, or, had it been shipped, makes it visible although nobody heard. A deposed
primary goes on answering reads, and never completes a synchronous commit (A1). A new primary completes none either
until it has a standby of its own. Commits become visible in another order than they were written, by a little.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lostid.replication.fence import WriteRow
from lostid.replication.granting import Row
from lostid.replication.rules import Position
from tests.simulation.engine import LOST, Engine

Reply = Callable[[Any], None]
AUTH = 10_000


@dataclass(frozen=True, slots=True)
class Entry:
    """A report: from now on every card of ``key`` up to ``upto`` is not to be accepted. Or, from AUTH on, the
    revocation of an API key: it is not to be admitted. With ``more``: the release of an import, all of whose keys are
    not to be accepted from now on."""

    seq: int
    prev: bytes
    hash: bytes
    key: int
    upto: int
    more: tuple[int, ...] = ()

    @property
    def keys(self) -> tuple[int, ...]:
        return self.key, *self.more

    @property
    def position(self) -> Position:
        return Position(self.seq, self.hash)


def chain_hash(prev: bytes, seq: int, body: str) -> bytes:
    return hashlib.blake2b(b"%s|%d|%s" % (prev, seq, body.encode()), digest_size=8).digest()


class State:
    """What one server shows to a statement."""

    __slots__ = ("chain", "entries", "folds", "hosts", "writes")

    def __init__(self) -> None:
        genesis = Entry(0, b"", b"genesis", -1, 0)
        self.entries = [genesis]
        self.chain = {0: genesis.hash}
        self.folds: dict[int, list[Entry]] = {}
        self.hosts: dict[bytes, Row] = {}
        self.writes: dict[str, WriteRow] = {}

    @property
    def head(self) -> Entry:
        return self.entries[-1]

    def after(self, seq: int, limit: int) -> list[Entry]:
        return self.entries[seq + 1 : seq + 1 + limit]

    def record(self, key: int, seq: int) -> int | None:
        """The fold of the key's entries up to seq: the highest card that is covered."""
        return max((e.upto for e in self.folds.get(key, ()) if e.seq <= seq), default=None)

    def apply(self, change: tuple[Any, ...]) -> None:
        kind = change[0]
        if kind == "host":
            self.hosts[change[1]] = change[2]
        elif kind == "gone":
            self.hosts.pop(change[1], None)
        elif kind == "write":
            self.writes[change[1]] = change[2]
        else:
            entry: Entry = change[1]
            self.entries.append(entry)
            self.chain[entry.seq] = entry.hash
            for key in entry.keys:
                self.folds.setdefault(key, []).append(entry)

    def copy(self) -> "State":
        other = State.__new__(State)
        other.entries = self.entries.copy()
        other.chain = self.chain.copy()
        other.folds = {key: es.copy() for key, es in self.folds.items()}
        other.hosts = self.hosts.copy()
        other.writes = self.writes.copy()
        return other


@dataclass(slots=True, eq=False)
class Commit:
    changes: tuple[tuple[Any, ...], ...]
    lock: str | bytes
    reply: Reply | None
    value: Any
    visible: bool = False


@dataclass(slots=True, eq=False)
class Standby:
    state: State
    received: int  # how many commits of the primary's WAL it has


class Server:
    """A primary. `failover` makes the next one out of its standby."""

    def __init__(self, cluster: "Cluster", state: State) -> None:
        self.cluster = cluster
        self.engine = cluster.engine
        self.base = state.copy()
        self.state = state
        self.up = True
        self.wal: list[Commit] = []
        self.standby: Standby | None = None
        self.shipping = 0  # when the last record shipped arrives: WAL arrives in order
        self.acked = 0
        self.cut_until = 0
        self.epoch = 0  # of the backends: a crash ends them all
        self.locks: dict[str | bytes, list[Callable[[], None]]] = {}

    def locked(self, lock: str | bytes, act: Callable[[], None]) -> None:
        """Run ``act`` once the row lock is ours; ``act`` ends in `commit` or `release`."""
        queue = self.locks.get(lock)
        if queue is None:
            self.locks[lock] = []
            act()
        else:
            queue.append(act)

    def release(self, lock: str | bytes) -> None:
        queue = self.locks.get(lock)
        if queue:
            queue.pop(0)()
        else:
            self.locks.pop(lock, None)

    def work(self, kind: str, act: Callable[[], None]) -> None:
        """A backend takes its time between its snapshot and its commit record."""
        took = self.cluster.stall(kind)
        if not took:
            act()
            return
        epoch = self.epoch
        self.engine.at(self.engine.now + took, lambda _: act() if self.epoch == epoch else None)

    def commit(self, changes: tuple[tuple[Any, ...], ...], lock: str | bytes, reply: Reply | None, value: Any) -> None:
        """Synchronous: the reply comes when the standby has it."""
        self.wal.append(Commit(changes, lock, reply, value))
        self._ship(len(self.wal))

    def _ship(self, upto: int) -> None:
        if self.standby is None:
            return
        flight = 30_000 + int(self.engine.random() * self.cluster.flight)
        self.shipping = max(self.shipping, self.engine.now + flight, self.cut_until)
        self.engine.at(self.shipping, self._received, (self.standby, upto))

    def _received(self, shipped: tuple[Standby, int]) -> None:
        standby, upto = shipped
        if standby is not self.standby:
            return
        if self.cut_until > self.engine.now:
            self.shipping = self.cut_until
            self.engine.at(self.cut_until, self._received, shipped)
            return
        while standby.received < upto:
            for change in self.wal[standby.received].changes:
                standby.state.apply(change)
            standby.received += 1
        back = self.engine.now + 20_000 + int(self.engine.random() * self.cluster.flight)
        self.engine.at(max(back, self.cut_until), self._acknowledged, shipped)

    def _acknowledged(self, shipped: tuple[Standby, int]) -> None:
        standby, upto = shipped
        if standby is not self.standby or not self.up:
            return
        while self.acked < upto:
            commit = self.wal[self.acked]
            self.acked += 1
            took = self.cluster.stall("show." + commit.changes[0][0])
            if took:
                self.engine.at(self.engine.now + took, self._awake, commit)
            else:
                self._show(commit, commit.value)

    def _awake(self, commit: Commit) -> None:
        if self.up:
            self._show(commit, commit.value)

    def _show(self, commit: Commit, value: Any) -> None:
        if commit.visible:
            return
        commit.visible = True
        for change in commit.changes:
            self.state.apply(change)
            if change[0] == "entry":
                self.cluster.shown(self, change[1])
        self.release(commit.lock)
        if commit.reply is not None:
            commit.reply(value)

    def _unseen(self) -> list[Commit]:
        return [c for c in self.wal if not c.visible]

    def terminate(self) -> None:
        """Somebody ends the backends that wait for the standby: done here, perhaps nowhere else; the connection ends
        without a word."""
        for commit in self._unseen():
            self._show(commit, LOST)

    def crash(self) -> None:
        self.up = False
        self.epoch += 1
        self.locks.clear()
        for commit in self._unseen():
            if commit.reply is not None:
                commit.reply(LOST)
                commit.reply = None

    def restart(self) -> None:
        """Recovery replays the local WAL: what was waiting is visible now."""
        self.up = True
        self.terminate()
        self._ship(len(self.wal))

    def attach_standby(self) -> None:
        if self.standby is None:
            whole = self.base.copy()
            for commit in self.wal:
                for change in commit.changes:
                    whole.apply(change)
            self.standby = Standby(whole, len(self.wal))
            self._ship(len(self.wal))


class Cluster:
    """The servers of one ledger, who is primary, and an archive that follows at its leisure: a source of entries for
    hosts that may read anywhere."""

    def __init__(self, engine: Engine, base: State, lag: int) -> None:
        self.engine = engine
        self.lag = lag
        self.flight = 400_000
        self.stalls: dict[str, int] = {}
        self.on_visible: Callable[[Server, Entry], None] = lambda server, entry: None
        self.archive = base.copy()
        self.primary = Server(self, base)
        self.primary.attach_standby()

    def stall(self, kind: str) -> int:
        """How long a backend stops here: mostly not at all, unless a fault holds the next one."""
        if self.stalls and kind in self.stalls:
            return self.stalls.pop(kind)
        r = self.engine.random()
        return 0 if r < 0.85 else int((r - 0.85) ** 4 * 6e10)

    def shown(self, server: Server, entry: Entry) -> None:
        self.on_visible(server, entry)
        if self.lag:
            self.engine.at(self.engine.now + self.lag, self._archived, (server, entry))

    def _archived(self, shown: tuple[Server, Entry]) -> None:
        server, entry = shown
        if server is not self.primary:
            return
        if entry.prev == self.archive.head.hash and entry.seq == self.archive.head.seq + 1:
            self.archive.apply(("entry", entry))
        else:
            self.archive = server.state.copy()

    def failover(self, new_standby_after: int) -> bool:
        """Promote the standby with what it received; False where there is none to promote."""
        old = self.primary
        if old.standby is None:
            return False
        promoted = old.standby.state
        old.standby = None
        primary = self.primary = Server(self, promoted)
        self.engine.at(self.engine.now + new_standby_after, lambda _: primary.attach_standby())
        return True
