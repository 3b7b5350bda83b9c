"""CHECK and EXACT: in which order a worker reads, and what it may believe.

1. L = lease_until off the page, after the request came in, before anything else (a batch: once).
2. gen and auth_seq: the cached API keys are as new as these say (`keys_current`), or they are loaded anew.
   gen; look up in that generation's map. No bit: nothing is in force.
3. A bit: the page's (seq, hash) under the seqlock, *after* L. Then EXACT with it: Redis if it proves that it contains
   that position and returns a record, else the ledger, else 503.
4. The clock, last: BOOTTIME < L or 503 (`lease.alive`).

L first and the position after it: the position on the page is then at least the one that L was granted for.
"""

from dataclasses import dataclass
from enum import Enum


class Exact(Enum):
    BELIEVE = "believe"  # the record that was read is the answer's ground
    ASK_LEDGER = "ask_ledger"
    UNPROVEN = "unproven"  # 503 freshness_unproven


def registry_says(answered: bool, proven: bool, record: bytes | None) -> Exact:
    """A miss is never believed of Redis: a deleted record can never clear."""
    return Exact.BELIEVE if answered and proven and record is not None else Exact.ASK_LEDGER


def ledger_says(answered: bool, has_position: bool) -> Exact:
    """One statement shows the record and that the server has (seq, hash). Here a miss is the truth."""
    return Exact.BELIEVE if answered and has_position else Exact.UNPROVEN


@dataclass(frozen=True, slots=True)
class KeysAsOf:
    """What is known of a worker's cached API keys: off the page were read ``gen``, then a position with this ``seq``,
    then the keys were loaded, in one statement that showed that the server has that position.

    Not the seq of the server's head: it may belong to a tail that a failover loses. And not without gen: a position
    that was applied may be lost as well; the host then loads anew, and its gen is another."""

    gen: int
    seq: int


def keys_current(held: KeysAsOf | None, gen: int, auth_seq: int) -> bool:
    """``gen`` and ``auth_seq`` are read off the page after L: the keys then know all revocations that L stands for."""
    return held is not None and held.gen == gen and held.seq >= auth_seq
