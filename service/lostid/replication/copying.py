"""RELAY: how the registry's copy in Redis may move, and what proves that a reader may believe it.

An entry about a whole import (a flip) changes more records than one script may write. The relay first drops every one
of them, step by step, and then moves the head: a record that is not there is asked of the ledger, so that the registry
holds at each moment nothing but records that are true at its head. Afterwards they are brought back.

Redis decides nothing. Its head moves by compare-and-append alone; a head that is not on the ledger's chain is wiped
(head first), refilled under a nonce step by step, and gets its head back last. Any number of relays may do this at
once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from lostid.replication.rules import Link, Position

CHAIN_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class Head:
    """What Redis says of itself. ``position`` is None while it is empty or being filled; ``fill`` is the nonce of
    the filler whose work is under way, "" for none, and ``step`` the number of steps that it has done."""

    position: Position | None
    fill: str = ""
    step: int = 0
    drop: tuple[str, int] = ("", 0)
    """The nonce of the relay that is dropping records to bring the head over a flip, and the steps it has taken."""


class Move(Enum):
    APPEND = "append"  # the entries after Redis's head, one script each
    IDLE = "idle"  # Redis is where the ledger is
    REFILL = "refill"  # wipe with a nonce of our own, fill, finish


def move(head: Head, on_chain: bool, ledger: Position) -> Move:
    """What a relay does next. ``on_chain``: the ledger has Redis's position (and the 100,000 lines behind it).

    A fill under way by another relay is overtaken, not waited for: its nonce is gone, its writes then do nothing.
    (A shell may first give it time to get on; that changes nothing here.)"""
    if head.position is None or not on_chain:
        return Move.REFILL
    return Move.APPEND if head.position.seq < ledger.seq else Move.IDLE


def appends(head: Head, entry: Link) -> bool:
    """The script's condition: Redis's head is exactly the entry's predecessor. It then writes every record of the
    entry, the chain line and the head, or nothing."""
    at = head.position
    return at is not None and at.seq == entry.seq - 1 and at.hash == entry.prev


def drops(head: Head, at: Position, nonce: str, step: int) -> bool:
    """Records may be dropped while the head is where the relay saw it. The first step begins anew, whoever was at it;
    each further one shows that those before it are there (Redis may have lost some, or become an older self)."""
    return head.position == at and (step == 0 or head.drop == (nonce, step))


def flips(head: Head, entry: Link, nonce: str, steps: int) -> bool:
    """As for any entry; and all steps of the dropping are there, and nothing was put back since (`repairs`)."""
    return appends(head, entry) and steps > 0 and head.drop == (nonce, steps)


def repairs(head: Head, at: Position) -> bool:
    """Records may be made what the ledger says at ``at`` only while that is the head. Who is dropping begins anew."""
    return head.position == at


def wipes(head: Head, seen: Head) -> bool:
    """The head is still what the caller decided on: of two relays that decide at once, one acts. It then takes away
    the head and the chain, and with them every proof, and leaves its nonce."""
    return (head.position, head.fill) == (seen.position, seen.fill)


def fills(head: Head, nonce: str, step: int) -> bool:
    """The condition of sweeping, of filling and of finishing: the wipe that made room was ours, and the last, and
    every step before this one is there (a failover of Redis may have lost some)."""
    return nonce != "" and head.fill == nonce and head.step == step


def proves(head: Head, chain: Mapping[int, bytes], reader: Position) -> bool:
    """I5: the copy contains what the reader holds, so it is no older than the reader."""
    return head.position is not None and chain.get(reader.seq) == reader.hash
