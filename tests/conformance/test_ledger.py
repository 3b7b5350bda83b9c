"""The statements of the fence answer what the pure rules answer: the same random operations on both."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from psycopg.conninfo import conninfo_to_dict

from lostid.ledger import covers, entries, hosts, writes
from lostid.ledger.pool import aconnect, connect
from lostid.ledger.statement import AsyncConn, Conn
from lostid.ledger.writes import Pending, Recorded, Replay, Reused
from lostid.replication import apply
from lostid.replication.fence import Found, Seen
from lostid.replication.lease import Reply
from lostid.replication.rules import Position
from tests.conformance.models import LedgerModel, Line
from tests.ledger.making import doc_key, report

KEYS = [doc_key(f"document {n}") for n in range(6)]
FORGED = b"the hash of another chain......."


class Both:
    """One server and its model; what was ever seen on any server is asked about on this one."""

    def __init__(self, conn: Conn, aconn: AsyncConn, model: LedgerModel, choose: random.Random) -> None:
        self.conn, self.aconn, self.model, self.choose = conn, aconn, model, choose
        self.incs: list[bytes] = [b"inc of nobody..."]
        self.seen: list[Position] = [line.position for line in model.lines]

    def inc(self) -> bytes:
        return self.choose.choice(self.incs[-5:])

    def position(self) -> Position:
        """Often the head, else anything that was once true anywhere, or never was."""
        kind = self.choose.random()
        if kind < 0.45:
            return self.model.head
        known = self.choose.choice(self.seen[-12:])
        if kind < 0.85:
            return known
        return self.choose.choice((Position(known.seq, FORGED), Position(known.seq + 3, known.hash)))

    async def join(self) -> None:
        self.incs.append(self.choose.randbytes(16))
        hosts.join(self.conn, self.incs[-1])
        self.model.join(self.incs[-1])

    async def renew(self) -> None:
        inc, position = self.inc(), self.position()
        replied = hosts.renew(self.conn, inc, position.seq, position.hash)
        n = next((row.n for row in hosts.sample(self.conn) if row.inc == inc), 0)
        assert Reply(replied.value) is self.model.renew(inc, position, n)

    async def evict(self) -> None:
        inc = self.inc()
        row = self.model.hosts.get(inc)
        n = row.n if row is not None and self.choose.random() < 0.5 else self.choose.choice(sorted(self.model.drawn))
        assert hosts.evict(self.conn, inc, n) is self.model.evict(inc, n)

    async def leave(self) -> None:
        inc = self.inc()
        assert hosts.leave(self.conn, inc) is self.model.leave(inc)

    async def fence(self) -> None:
        position = self.position()
        state = await hosts.fence_state(self.aconn, position.seq, position.hash)
        assert Seen(state.has_entry, state.hosts, state.behind) == self.model.fence_state(position)

    async def record(self) -> None:
        idem, request = f"write {self.choose.randrange(12)}", self.choose.choice((b"one", b"one", b"another"))
        key = writes.write_key(b"f" * 32, "live", "police", idem, request)
        expected = self.model.found(idem, key.fingerprint)
        touched = tuple(self.choose.sample(KEYS, 2))
        match await writes.record(self.aconn, key, report(f"{self.choose.getrandbits(60):x}", *touched)):
            case Recorded(at):
                found = Found.NEW
                self.model.record(idem, key.fingerprint, Line(at.seq, at.prev, at.hash, touched))
                self.seen.append(self.model.head)
            case Pending(_, at):
                found = Found.FENCE
                assert self.model.writes[idem].position == Position(at.seq, at.hash)
            case Replay(_, stored):
                found = Found.REPLAY
                assert self.model.writes[idem].answer == stored
            case Reused():
                found = Found.REUSED
            case other:
                pytest.fail(f"{other}")
        assert found is expected

    async def answer(self) -> None:
        idem, position = f"write {self.choose.randrange(12)}", self.position()
        row = self.model.writes.get(idem)
        if row is not None and row.position is not None and self.choose.random() < 0.8:
            position = self.choose.choice((row.position, row.position, Position(row.position.seq, FORGED)))
        key = writes.write_key(b"f" * 32, "live", "police", idem, b"one")
        offered = self.choose.randbytes(4)
        at = entries.Appended(position.seq, b"", position.hash, 0)
        stored = await writes.store_answer(self.aconn, key, at, 201, offered)
        assert (stored and stored.answer) == self.model.answer(idem, position, offered)

    async def follow(self) -> None:
        position = self.position()
        read = entries.read_after(self.conn, position.seq, 10_000)
        step, expected = apply.accept_batch(position, read), self.model.follow(position)
        assert (type(step), step.position) == (type(expected), expected.position)
        assert [entry.seq for entry in read] == [line.seq for line in self.model.lines[position.seq + 1 :]]

    async def confirm(self) -> None:
        position, keys = self.position(), self.choose.sample(KEYS, 3)
        records = await covers.confirm(self.aconn, keys, position.seq, position.hash)
        expected = self.model.confirm(keys, position)
        found = None if records is None else {key: len(record.covers) for key, record in records.items()}
        assert found == (None if expected is None else {key: len(seqs) for key, seqs in expected.items()})

    async def agree(self) -> None:
        """All rows, at any time."""
        assert {row.inc: (row.n, row.seq) for row in hosts.sample(self.conn)} == {
            inc: (row.n, row.seq) for inc, row in self.model.hosts.items()
        }
        head = entries.head(self.conn)
        assert Position(head.seq, head.hash) == self.model.head

    async def operate(self, times: int) -> None:
        for name in self.choose.choices(OPERATIONS, WEIGHTS, k=times):
            await getattr(self, name)()
            await self.agree()


OPERATIONS = ("join", "renew", "evict", "leave", "fence", "record", "answer", "follow", "confirm")
WEIGHTS = (2, 8, 3, 1, 4, 5, 4, 3, 3)


@asynccontextmanager
async def both(dsn: str, model: LedgerModel | None, choose: random.Random) -> AsyncIterator[Both]:
    with connect(dsn, name="conformance") as conn:
        if model is None:
            model = LedgerModel([Line(e.seq, e.prev, e.hash) for e in entries.read_after(conn, -1, 10)])
        async with await aconnect(dsn, name="conformance") as aconn:
            yield Both(conn, aconn, model, choose)


@pytest.mark.parametrize("seed", range(6))
async def test_ledger(seed: int, ledger_dsn: str, new_database: Callable[..., str]) -> None:
    """Every reply is the rules', also on a server that was promoted without the tail that others had seen."""
    choose = random.Random(seed)
    async with both(ledger_dsn, None, choose) as old:
        await old.operate(120)
        standby = old.model.lost_tail()
        incs, seen = old.incs, old.seen
    promoted = new_database(str(conninfo_to_dict(ledger_dsn)["dbname"]))
    async with both(ledger_dsn, old.model, choose) as old:
        old.incs, old.seen = incs, seen
        await old.operate(60)
    async with both(promoted, standby, choose) as new:
        new.incs, new.seen = incs, seen
        await new.operate(120)


_WITHOUT = {
    "renew without hash": ("hosts", "RENEW", " AND hash = %(hash)s", ""),
    "renew counts": ("hosts", "RENEW", "hashtextextended(gen_random_uuid()::text, 0)", "least(n + 1, 1)"),
    "grant while behind": ("hosts", "RENEW", "(SELECT seq FROM head) = %(seq)s", "true"),
    "evict without n": ("hosts", "EVICT", " AND n = %(n)s", ""),
    "fence without hash": ("hosts", "FENCE", " AND hash = %(hash)s", ""),
    "fence passes equals": ("hosts", "FENCE", "seq < %(seq)s", "seq <= %(seq)s"),
    "answer without entry": ("writes", "ANSWER", " AND e.hash = %(hash)s", ""),
    "answer overwritten": ("writes", "ANSWER", "coalesce(answer, %(answer)s)", "%(answer)s::bytea"),
    "confirm without hash": ("covers", "CONFIRM", " AND e.hash = %(hash)s", ""),
}


@pytest.mark.parametrize("broken", _WITHOUT)
async def test_notices(broken: str, ledger_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement that does less than it should is noticed."""
    room, name, what, by = _WITHOUT[broken]
    module = {"hosts": hosts, "writes": writes, "covers": covers}[room]
    statement = getattr(module, name)
    assert what in statement.sql
    monkeypatch.setattr(module, name, replace(statement, sql=statement.sql.replace(what, by)))
    with pytest.raises(AssertionError):
        async with both(ledger_dsn, None, random.Random(1)) as one:
            await one.operate(400)
