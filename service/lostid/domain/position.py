"""How far a copy of the ledger is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Position:
    """The last entry that a copy holds. A seq alone says nothing: after a failover with a lost tail two different
    entries can have had the same number, so the chain hash always travels with it."""

    seq: int
    hash: bytes
