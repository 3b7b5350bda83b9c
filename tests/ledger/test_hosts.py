"""The ledger's side of JOIN, RENEW, EVICT, LEAVE and FENCE: the lines of design section 5, one by one.

That they are the same as the rules in `replication` is for the conformance test."""

import threading

import pytest

from lostid.ledger import entries, hosts
from lostid.ledger.entries import Head
from lostid.ledger.errors import LedgerConflict
from lostid.ledger.hosts import FenceState, Host, LeaseTerms, Renewal
from lostid.ledger.pool import LedgerPool, connect
from lostid.ledger.statement import Conn
from tests.ledger.making import report

ONE, TWO = b"one host's inc..", b"two host's inc.."


async def grown(pool: LedgerPool, name: str) -> Head:
    """The head after one more entry."""
    appended = await pool.write(entries.append, report(name))
    return Head(appended.seq, appended.hash, appended.recorded_ms)


def test_join(conn: Conn) -> None:
    """A host that has joined holds every fence back, and cannot join twice under one inc."""
    hosts.join(conn, ONE)
    assert hosts.sample(conn) == [Host(ONE, 0, 0)]
    with pytest.raises(LedgerConflict):
        hosts.join(conn, ONE)


async def test_renew(pool: LedgerPool, conn: Conn) -> None:
    """Granted at the head; behind it the applied seq is noted without a lease; n is another after each."""
    old = entries.head(conn)
    hosts.join(conn, ONE)
    assert hosts.renew(conn, ONE, old.seq, old.hash) is Renewal.GRANTED
    new = await grown(pool, "a")
    [first] = hosts.sample(conn)
    assert hosts.renew(conn, ONE, old.seq, old.hash) is Renewal.BEHIND
    [second] = hosts.sample(conn)
    assert hosts.renew(conn, ONE, new.seq, new.hash) is Renewal.GRANTED
    [third] = hosts.sample(conn)
    assert [first.seq, second.seq, third.seq] == [old.seq, old.seq, new.seq]
    assert len({0, first.n, second.n, third.n}) == 4


def test_renew_without_row(conn: Conn) -> None:
    """No row for who never joined, was evicted, or stands on another chain: and nothing is changed."""
    head = entries.head(conn)
    assert hosts.renew(conn, ONE, head.seq, head.hash) is Renewal.NO_ROW
    hosts.join(conn, ONE)
    assert hosts.renew(conn, ONE, head.seq, b"another chain's hash............") is Renewal.NO_ROW
    assert hosts.renew(conn, ONE, head.seq + 1, head.hash) is Renewal.NO_ROW
    assert hosts.sample(conn) == [Host(ONE, 0, 0)]


def test_evict(conn: Conn) -> None:
    """A host that renewed since the sample is not evicted; one that did not, is."""
    head = entries.head(conn)
    hosts.join(conn, ONE)
    hosts.renew(conn, ONE, head.seq, head.hash)
    [row] = hosts.sample(conn)
    assert not hosts.evict(conn, ONE, 0)
    assert hosts.evict(conn, ONE, row.n)
    assert not hosts.evict(conn, ONE, row.n)
    assert hosts.sample(conn) == []


def test_evict_meets_renew(conn: Conn, ledger_dsn: str) -> None:
    """An eviction that waits for a renewal under way finds n moved on, and leaves the row."""
    head = entries.head(conn)
    hosts.join(conn, ONE)
    evicted: list[bool] = []
    with connect(ledger_dsn, name="evictor") as other:
        with conn.transaction():
            assert hosts.renew(conn, ONE, head.seq, head.hash) is Renewal.GRANTED
            evicting = threading.Thread(target=lambda: evicted.append(hosts.evict(other, ONE, 0)))
            evicting.start()
            waits = (
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'evictor' AND wait_event_type = 'Lock'"
            )
            while conn.execute(waits).fetchone() == (0,):
                pass
        evicting.join()
    assert evicted == [False]
    assert [(row.inc, row.seq) for row in hosts.sample(conn)] == [(ONE, head.seq)]


def test_leave(conn: Conn) -> None:
    """Leaving takes the host's own row away and no other."""
    hosts.join(conn, ONE)
    hosts.join(conn, TWO)
    assert hosts.leave(conn, ONE)
    assert not hosts.leave(conn, ONE)
    assert hosts.sample(conn) == [Host(TWO, 0, 0)]


async def test_fence(pool: LedgerPool, conn: Conn) -> None:
    """A fence counts the hosts from before its entry, a joining one among them, and says whether the entry is here."""
    old = entries.head(conn)
    hosts.join(conn, ONE)
    hosts.join(conn, TWO)
    hosts.renew(conn, ONE, old.seq, old.hash)
    new = await grown(pool, "a")

    async def look(hash_: bytes) -> FenceState:
        return await pool.read(hosts.fence_state, new.seq, hash_)

    assert await look(new.hash) == FenceState(has_entry=True, hosts=2, behind=2)
    hosts.renew(conn, ONE, new.seq, new.hash)
    assert await look(new.hash) == FenceState(has_entry=True, hosts=2, behind=1)
    hosts.leave(conn, TWO)
    assert await look(new.hash) == FenceState(has_entry=True, hosts=1, behind=0)
    assert (await look(b"another chain's hash............")).has_entry is False


def test_terms(conn: Conn) -> None:
    """L_r and L_w are one row of the ledger, the same for everybody."""
    assert hosts.lease_terms(conn) == LeaseTerms(l_r_ms=1000, l_w_ms=1500)
