"""The ledger's side of JOIN, RENEW, EVICT, LEAVE and FENCE, as plain functions.

PostgreSQL carries these out as one statement each (ledger/hosts.py); this is what those statements must answer.
The conformance test drives both with the same random operations.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from lostid.replication.fence import Seen
from lostid.replication.lease import Reply
from lostid.replication.rules import Position


@dataclass(frozen=True, slots=True)
class Row:
    """One row of `hosts`. ``seq``: what the host's filter holds at least. ``n``: drawn anew at each renewal.

    Not a counter: a failover that loses renewals would take a counter back, it would come to the same number again,
    now with a lease on it, and an EVICT sampled before the failover would take the living row."""

    n: int
    seq: int


Hosts = Mapping[bytes, Row]
Chain = Mapping[int, bytes]


def has(chain: Chain, position: Position) -> bool:
    return chain.get(position.seq) == position.hash


def join() -> Row:
    """A row of its own, committed and heard of before the first RENEW: a fence that looks meanwhile sees seq 0."""
    return Row(n=0, seq=0)


def renew(
    hosts: Hosts, chain: Chain, head_seq: int, inc: bytes, position: Position, n: int
) -> tuple[Row | None, Reply]:
    """The row afterwards (None: no row was changed) and the reply. ``n``: 64 fresh random bits."""
    row = hosts.get(inc)
    if row is None or not has(chain, position):
        return None, Reply.NO_ROW
    return Row(n, position.seq), Reply.GRANTED if head_seq == position.seq else Reply.BEHIND


def evicts(hosts: Hosts, inc: bytes, n: int) -> bool:
    row = hosts.get(inc)
    return row is not None and row.n == n


def fence_state(hosts: Hosts, chain: Chain, position: Position) -> Seen:
    """One statement, one snapshot: is (k, h_k) there, and which hosts are below k."""
    behind = sum(1 for row in hosts.values() if row.seq < position.seq)
    return Seen(has_entry=has(chain, position), hosts=len(hosts), behind=behind)
