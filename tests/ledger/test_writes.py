"""Idempotency: what became of a write, whoever asks again."""

import asyncio

import pytest

from lostid.ledger import reports
from lostid.ledger.errors import LedgerDown, LedgerFault
from lostid.ledger.pool import LedgerPool
from lostid.ledger.statement import Conn, committing
from lostid.ledger.writes import (
    InForce,
    InUse,
    New,
    Pending,
    Recorded,
    Replay,
    Reused,
    Stored,
    WriteKey,
    begin,
    record,
    store_answer,
    write_key,
)
from tests.ledger.making import report, until, verified_chain
from tests.ledger.making import write_key as some_key

IN_FORCE = InForce(1_795_000_000_123, {"hosts": 1, "confirmed": 1, "waited_ms": 0.8})


async def recorded(pool: LedgerPool, key: WriteKey, name: str = "a") -> Recorded:
    outcome = await pool.write(record, key, report(name))
    assert isinstance(outcome, Recorded)
    return outcome


async def test_once(pool: LedgerPool, conn: Conn) -> None:
    """A write repeated before its answer finds its entry; after it, the answer. There is one entry throughout."""
    key = some_key()
    first = await recorded(pool, key)
    assert await pool.write(record, key, report("b")) == Pending("rpt_a", first.appended)
    stored = await pool.write(store_answer, key, first.appended, 201, b"receipt", IN_FORCE)
    assert stored == Stored(201, b"receipt", first=True)
    assert await pool.write(record, key, report("c")) == Replay(201, b"receipt")
    assert [entry.id for entry in verified_chain(conn)[2:]] == ["rpt_a"]


async def test_first_answer_stays(pool: LedgerPool) -> None:
    """Two who wait at the same fence send the same answer, and the report keeps the first time in force."""
    key = some_key()
    first = await recorded(pool, key)
    later = InForce(1_795_000_009_999, {"hosts": 9})
    for answer, in_force in ((b"one", IN_FORCE), (b"two", later)):
        stored = await pool.write(store_answer, key, first.appended, 201, answer, in_force)
        assert stored == Stored(201, b"one", first=answer == b"one")
    told = await pool.read(reports.get, "live", "police", "rpt_a")
    assert told is not None
    assert (told.state, told.in_force_ms, told.visibility) == ("in_force", IN_FORCE.in_force_ms, IN_FORCE.visibility)


async def test_other_request(pool: LedgerPool, conn: Conn) -> None:
    """A key that comes with another request is refused, before and after the answer."""
    key, other = some_key("same", b"one"), some_key("same", b"two")
    first = await recorded(pool, key)
    assert await pool.write(record, other, report("b")) == Reused()
    await pool.write(store_answer, key, first.appended, 201, b"{}")
    assert await pool.write(record, other, report("b")) == Reused()
    assert len(verified_chain(conn)) == 3


async def test_scope(pool: LedgerPool) -> None:
    """The same Idempotency-Key of two organisations, or in two environments, names two writes."""
    keys = [write_key(b"s" * 32, env, org, "idem", b"{}") for env in ("live", "test") for org in ("a", "b")]
    for name, key in zip("abcd", keys, strict=True):
        await recorded(pool, key, name)
    # Nor does shifting a character from one part to the next.
    assert (
        write_key(b"s" * 32, "live", "a", "bc", b"").idem_key != write_key(b"s" * 32, "live", "ab", "c", b"").idem_key
    )


async def test_at_once(pool: LedgerPool, conn: Conn) -> None:
    """Of many requests with one key at the same time one is recorded; the others hear of it, or that it goes on."""
    key = some_key()
    outcomes = await asyncio.gather(*(pool.write(record, key, report(str(n))) for n in range(16)))
    assert sum(isinstance(outcome, Recorded) for outcome in outcomes) == 1
    assert all(isinstance(outcome, Recorded | Pending | InUse) for outcome in outcomes)
    assert len(verified_chain(conn)) == 3


async def test_committed_meanwhile(pool: LedgerPool, conn: Conn, admin: Conn) -> None:
    """A key that is used by another transaction while ours waits for the head gives Pending, not a second entry."""
    key = some_key()
    waits = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'test-pool' AND wait_event_type = 'Lock'"
    with admin.transaction():
        admin.execute("SELECT FROM head FOR UPDATE")
        waiting = asyncio.create_task(pool.write(record, key, report("a")))
        await until(lambda: conn.execute(waits).fetchone() == (1,))
        row = [key.env, key.org, key.idem_key, key.fingerprint]
        admin.execute("INSERT INTO writes (env, org, idem_key, fingerprint, seq) VALUES (%s, %s, %s, %s, 1)", row)
    outcome = await waiting
    assert isinstance(outcome, Pending)
    assert (outcome.id, outcome.appended.seq) == ("canary", 1)
    assert len(verified_chain(conn)) == 2


async def test_in_use(pool: LedgerPool, conn: Conn) -> None:
    """While a request holds its key, another with the same key is told so at once, whatever the first waits for."""
    key = some_key()
    async with pool.reading() as one, one.transaction():
        assert await begin(one, key) == New()
        assert await begin(one, key) == New()
        assert await pool.write(record, key, report("a")) == InUse()
    await recorded(pool, key)


async def test_in_a_transaction(pool: LedgerPool, conn: Conn) -> None:
    """A transaction that is rolled back leaves neither entry nor used key."""
    key = some_key()

    class GivenUp(Exception):
        pass

    async def given_up() -> None:
        async with pool.reading() as c, committing(c):
            assert isinstance(await record(c, key, report("a")), Recorded)
            raise GivenUp

    with pytest.raises(GivenUp):
        await given_up()
    assert len(verified_chain(conn)) == 2
    await recorded(pool, key)


async def test_entry_gone(pool: LedgerPool, conn: Conn, admin: Conn) -> None:
    """No answer is stored for an entry that is not here: lost in a failover, or another in its place."""
    key = some_key()
    first = await recorded(pool, key)
    admin.execute("SET session_replication_role = replica")
    admin.execute("UPDATE entries SET hash = %s WHERE seq = 2", [b"x" * 32])
    assert await pool.write(store_answer, key, first.appended, 201, b"receipt", IN_FORCE) is None
    admin.execute("DELETE FROM entries WHERE seq = 2")
    assert await pool.write(store_answer, key, first.appended, 201, b"receipt", IN_FORCE) is None
    told = await pool.read(reports.get, "live", "police", "rpt_a")
    assert told is not None
    assert told.state == "recorded"


async def test_replay_commits(pool: LedgerPool, conn: Conn) -> None:
    """Finding a stored answer writes: it is sent only after a commit that waits for the standby, as the first was."""
    key = some_key()
    first = await recorded(pool, key)
    await pool.write(store_answer, key, first.appended, 201, b"{}")
    before = conn.execute("SELECT xmax::text::bigint FROM writes").fetchone()
    assert await pool.write(record, key, report("a")) == Replay(201, b"{}")
    after = conn.execute("SELECT xmax::text::bigint FROM writes").fetchone()
    assert before is not None
    assert after is not None
    assert after > before


async def test_refused(pool: LedgerPool, conn: Conn) -> None:
    """A report that the ledger refuses leaves nothing behind, and its key is free for the next try."""
    key = some_key()
    await recorded(pool, some_key(), "taken")
    with pytest.raises(LedgerFault):
        await pool.write(record, key, report("taken"))
    await recorded(pool, key, "free")
    assert len(verified_chain(conn)) == 4


async def test_head_held(pool: LedgerPool, admin: Conn) -> None:
    """A head that stays locked is a ledger that is down for the moment: nothing was done."""
    with admin.transaction():
        admin.execute("SELECT FROM head FOR UPDATE")
        async with pool.reading() as c:
            await c.execute("SET lock_timeout = '50ms'")
            with pytest.raises(LedgerDown):
                await record(c, some_key(), report("a"))
