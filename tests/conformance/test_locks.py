"""What the simulation takes for granted of PostgreSQL: by which snapshot a statement judges that had to wait."""

import threading
from collections.abc import Callable
from typing import TypeVar

from lostid.ledger import entries, hosts
from lostid.ledger.hosts import Host, Renewal
from lostid.ledger.pool import aconnect, connect
from lostid.ledger.statement import Conn
from tests.ledger.making import report

T = TypeVar("T")

INC = b"one host's inc.."
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'second' AND wait_event_type = 'Lock'"


def _waiting(conn: Conn, dsn: str, first: Callable[[Conn], object], second: Callable[[Conn], T], then: str = "") -> T:
    """Run ``first`` in a transaction; when ``second`` waits for it, commit, perhaps after another entry was made."""
    got: list[T] = []
    with connect(dsn, name="second") as other, connect(dsn, name="third") as third:
        with conn.transaction():
            first(conn)
            thread = threading.Thread(target=lambda: got.append(second(other)))
            thread.start()
            while third.execute(WAITING).fetchone() == (0,):
                pass
            if then:
                entries.APPEND.run(third, entries.append_params(report(then)))
        thread.join()
    return got[0]


def test_renew_after_renew(conn: Conn, ledger_dsn: str) -> None:
    """A renewal that waits for its row judges by the head at its start. (Its lease counts from before that.)"""
    hosts.join(conn, INC)
    head = entries.head(conn)

    def renew(on: Conn) -> Renewal:
        return hosts.renew(on, INC, head.seq, head.hash)

    assert _waiting(conn, ledger_dsn, renew, renew, then="meanwhile") is Renewal.GRANTED
    assert entries.head(conn).seq == head.seq + 1
    assert [row.seq for row in hosts.sample(conn)] == [head.seq]
    assert renew(conn) is Renewal.BEHIND


def test_renew_after_evict(conn: Conn, ledger_dsn: str) -> None:
    """A renewal that waits for an eviction finds no row, whatever it saw before."""
    hosts.join(conn, INC)
    head = entries.head(conn)
    evicted = _waiting(
        conn, ledger_dsn, lambda c: hosts.evict(c, INC, 0), lambda c: hosts.renew(c, INC, head.seq, head.hash)
    )
    assert evicted is Renewal.NO_ROW
    assert hosts.sample(conn) == []


def test_evict_after_renew(conn: Conn, ledger_dsn: str) -> None:
    """An eviction that waits for a renewal leaves the row."""
    hosts.join(conn, INC)
    head = entries.head(conn)
    gone = _waiting(
        conn, ledger_dsn, lambda c: hosts.renew(c, INC, head.seq, head.hash), lambda c: hosts.evict(c, INC, 0)
    )
    assert gone is False
    assert [row.seq for row in hosts.sample(conn)] == [head.seq]


async def test_fence_during_join(conn: Conn, ledger_dsn: str) -> None:
    """No fence sees a row before its commit, and every fence does after: why JOIN is heard of before RENEW."""
    head = entries.head(conn)
    async with await aconnect(ledger_dsn, name="writer") as writer:
        with conn.transaction():
            hosts.join(conn, INC)
            before = await hosts.fence_state(writer, head.seq, head.hash)
        after = await hosts.fence_state(writer, head.seq, head.hash)
    assert (before.hosts, before.behind) == (0, 0)
    assert (after.hosts, after.behind) == (1, 1)
    assert hosts.sample(conn) == [Host(INC, 0, 0)]
