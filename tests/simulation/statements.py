"""What is asked of the ledger: each function is one transaction or one statement, run when the request arrives.

The deciding is done by lostid.replication's pure rules; here are the locks, the commit and the reply.
"""

from dataclasses import dataclass

from lostid.replication import fence, granting
from lostid.replication.fence import Found, WriteRow
from lostid.replication.rules import Position
from tests.simulation.ledger import AUTH, Entry, Reply, Server, State
from tests.simulation.sabotage import Rules
from tests.simulation.schedule import Report


@dataclass(frozen=True, slots=True)
class Recorded:
    """The reply to REPORT: its commit is done (NEW), or its row was found."""

    found: Found
    position: Position | None


def report(server: Server, rules: Rules, idem: str, report: Report, reply: Reply) -> None:
    """Insert writes(idem), or find it; then the entry at the head. The insert waits for a twin under way, which
    holds the head's lock to its end: one lock stands for both."""

    def act() -> None:
        state = server.state
        row = state.writes.get(idem)
        found = fence.found(row, b"")
        if found is not Found.NEW:
            assert row is not None
            server.release("head")
            reply(Recorded(found, row.position))
            return
        head = state.head
        body = f"{idem} {server.engine.rng.getrandbits(63)}" if rules.bodies_differ else idem
        hash_ = rules.chain_hash(head.hash, head.seq + 1, body)
        entry = Entry(head.seq + 1, head.hash, hash_, report.key, report.upto, report.more)
        answer = b"receipt" if rules.answer_with_entry else None
        changes = (("entry", entry), ("write", idem, WriteRow(b"", entry.position, answer)))
        server.commit(changes, "head", reply, Recorded(Found.NEW, entry.position))

    server.locked("head", act)


def answer(server: Server, rules: Rules, idem: str, position: Position, reply: Reply) -> None:
    """Store the answer where there is none; always a write, always a synchronous commit. Replies with what the row
    holds, or None where the entry is not here."""
    if not rules.second_commit:
        reply(b"receipt")
        return

    def act() -> None:
        row = server.state.writes.get(idem)
        stored = None
        if row is not None:
            stored = fence.stores(row.answer, granting.has(server.state.chain, position), b"receipt")
        if row is None or stored is None:
            server.release(idem)
            reply(None)
            return
        server.commit((("write", idem, WriteRow(row.fingerprint, row.position, stored)),), idem, reply, stored)

    server.locked(idem, act)


def join(server: Server, inc: bytes, reply: Reply) -> None:
    server.locked(inc, lambda: server.commit((("host", inc, granting.join()),), inc, reply, True))


def renew(server: Server, rules: Rules, inc: bytes, position: Position, reply: Reply) -> None:
    """One UPDATE: head and entries are read in the snapshot of its start, the row as it is once its lock is ours."""
    head_seq = server.state.head.seq
    known = granting.has(server.state.chain, position)

    def act() -> None:
        state = server.state
        hosts = state.hosts
        if not rules.join_apart and inc not in hosts:
            hosts = {inc: granting.join()}
        n = server.engine.rng.getrandbits(63) if rules.n_drawn or inc not in hosts else hosts[inc].n + 1
        row, said = rules.renew(hosts, state.chain if known else {}, head_seq, inc, position, n)
        if row is None:
            server.release(inc)
            reply(said)
        else:
            server.work("renew", lambda: server.commit((("host", inc, row),), inc, reply, said))

    server.locked(inc, act)


def evict(server: Server, rules: Rules, inc: bytes, n: int, reply: Reply) -> None:
    def act() -> None:
        if rules.evicts(server.state.hosts, inc, n):
            server.work("evict", lambda: server.commit((("gone", inc),), inc, reply, True))
        else:
            server.release(inc)
            reply(False)

    server.locked(inc, act)


def leave(server: Server, inc: bytes, reply: Reply) -> None:
    def act() -> None:
        if inc in server.state.hosts:
            server.commit((("gone", inc),), inc, reply, True)
        else:
            server.release(inc)
            reply(False)

    server.locked(inc, act)


def fence_state(server: Server, position: Position, reply: Reply) -> None:
    reply(granting.fence_state(server.state.hosts, server.state.chain, position))


def host_rows(server: Server, reply: Reply) -> None:
    reply([(inc, row.n) for inc, row in server.state.hosts.items()])


def has(server: Server, position: Position, reply: Reply) -> None:
    reply(granting.has(server.state.chain, position))


def confirm(server: Server, key: int, position: Position, reply: Reply) -> None:
    """One statement: is (seq, hash) here, and the key's record."""
    state = server.state
    reply((granting.has(state.chain, position), state.record(key, state.head.seq)))


def revoked(server: Server, position: Position, reply: Reply) -> None:
    """One statement: is (seq, hash) here, which API keys are revoked, and where the head is."""
    state = server.state
    keys = {key for key in state.folds if key >= AUTH}
    reply((granting.has(state.chain, position), keys, state.head.seq))


def after(state: State, position: Position, reply: Reply) -> None:
    """The entries that follow, from any server at all: they prove themselves by the chain."""
    reply(state.after(position.seq, 20))
