"""Who may hold a lease: the ledger's side of the fence. Design section 5, one statement for each line of it.

Each is one transaction of its own on an autocommit connection; none may run inside another transaction, because what
they promise begins with their commit.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from lostid.ledger.statement import AsyncConn, Conn, Rows, Statement, done, nothing


@dataclass(frozen=True, slots=True)
class Host:
    inc: bytes
    n: int  # 64 random bits, others after each renewal; 0 after JOIN
    seq: int


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    l_r_ms: int
    l_w_ms: int


@dataclass(frozen=True, slots=True)
class FenceState:
    """`has_entry`: the server that answered has (k, hash); only then do the counts say anything. `behind`: below k."""

    has_entry: bool
    hosts: int
    behind: int


class Renewal(Enum):
    GRANTED = "granted"  # what was applied is all there is: a lease, counted from before the statement was sent
    BEHIND = "behind"  # what was applied is known now, but there is more: no lease
    NO_ROW = "no_row"  # no such row, or (seq, hash) is not on this chain: lease ends, check the chain, JOIN anew


# n is drawn anew and not counted: a counter that a failover took back comes to the same number again with a lease on
# it, and an eviction sampled before the failover would then take a living row (found by the simulation).
JOIN = Statement("INSERT INTO hosts (inc, n, seq) VALUES (%(inc)s, 0, 0)", nothing, writes=True)

RENEW = Statement(
    """
    UPDATE hosts SET n = hashtextextended(gen_random_uuid()::text, 0), seq = %(seq)s
     WHERE inc = %(inc)s AND EXISTS (SELECT FROM entries WHERE seq = %(seq)s AND hash = %(hash)s)
    RETURNING (SELECT seq FROM head) = %(seq)s
    """,
    lambda rows: _renewal(rows),
    writes=True,
)

EVICT = Statement("DELETE FROM hosts WHERE inc = %(inc)s AND n = %(n)s RETURNING inc", done, writes=True)

LEAVE = Statement("DELETE FROM hosts WHERE inc = %(inc)s RETURNING inc", done, writes=True)

SAMPLE = Statement("SELECT inc, n, seq FROM hosts ORDER BY inc", lambda rows: [Host(*row) for row in rows])

FENCE = Statement(
    """
    SELECT EXISTS (SELECT FROM entries WHERE seq = %(seq)s AND hash = %(hash)s),
           (SELECT count(*) FROM hosts),
           (SELECT count(*) FROM hosts WHERE seq < %(seq)s)
    """,
    lambda rows: FenceState(*rows[0]),
)

TERMS = Statement("SELECT l_r_ms, l_w_ms FROM lease", lambda rows: LeaseTerms(*rows[0]))


def _renewal(rows: Rows) -> Renewal:
    if not rows:
        return Renewal.NO_ROW
    return Renewal.GRANTED if rows[0][0] else Renewal.BEHIND


def join(conn: Conn, inc: bytes) -> None:
    """A fresh row that holds every fence back until its first RENEW, or until L_w. Renew only after this returned."""
    JOIN.run(conn, {"inc": inc})


def renew(conn: Conn, inc: bytes, seq: int, hash_: bytes) -> Renewal:
    return RENEW.run(conn, {"inc": inc, "seq": seq, "hash": hash_})


def evict(conn: Conn, inc: bytes, n: int) -> bool:
    """Only for a row seen unchanged for L_w on the caller's clock, from a received sample to this call."""
    return EVICT.run(conn, {"inc": inc, "n": n})


def leave(conn: Conn, inc: bytes) -> bool:
    """Only after the page's lease is zero, with its lock held."""
    return LEAVE.run(conn, {"inc": inc})


def sample(conn: Conn) -> list[Host]:
    return SAMPLE.run(conn)


def lease_terms(conn: Conn) -> LeaseTerms:
    return TERMS.run(conn)


async def fence_state(conn: AsyncConn, seq: int, hash_: bytes) -> FenceState:
    """One look at the fence of entry (seq, hash), in one statement."""
    return await FENCE.arun(conn, {"seq": seq, "hash": hash_})
