"""REPORT, FENCE, ANSWER: when the receipt of an entry may leave.

A write goes through `found` (what the idempotency row says), its transaction, `begin`, then `passed` again and again
until it says how, then the ANSWER transaction, whose outcome is `answer`. Only `Send` lets bytes out.
"""

from dataclasses import dataclass
from enum import Enum

from lostid.replication.rules import Position, Terms


@dataclass(frozen=True, slots=True)
class WriteRow:
    """One row of `writes`: the body's fingerprint, where the entry went, and the answer once it may be repeated."""

    fingerprint: bytes
    position: Position | None
    answer: bytes | None


class Found(Enum):
    NEW = "new"  # insert the row and the entry, in one transaction
    FENCE = "fence"  # recorded, not yet answered: begin the fence for its position
    REPLAY = "replay"  # answered: send the stored answer
    REUSED = "reused"  # the same key with another body
    IN_USE = "in_use"  # a row without an entry: somebody is at it


def found(row: WriteRow | None, fingerprint: bytes) -> Found:
    """What to do with a write whose idempotency key has this row."""
    if row is None:
        return Found.NEW
    if row.fingerprint != fingerprint:
        return Found.REUSED
    if row.answer is not None:
        return Found.REPLAY
    return Found.FENCE if row.position is not None else Found.IN_USE


@dataclass(frozen=True, slots=True)
class Fence:
    """The wait for one entry. ``t0_ns``: BOOTTIME after the commit's reply, or after the row was found."""

    position: Position
    t0_ns: int


@dataclass(frozen=True, slots=True)
class Seen:
    """One statement's view of one server: does it have (k, h_k), how many rows has `hosts`, how many of them are
    below k. Where the entry is not there, the counts say nothing."""

    has_entry: bool
    hosts: int
    behind: int


@dataclass(frozen=True, slots=True)
class Passed:
    """The fence is passed. ``by_wait``: not every host confirmed, but the leases of the others have ended."""

    by_wait: bool
    hosts: int
    confirmed: int
    waited_ns: int


def begin(position: Position, now_ns: int) -> Fence:
    """``now_ns`` is read after the reply, never before: leases granted up to the commit must fit into the wait.

    (k, h_k) has to name this one commit: an entry's body carries an id drawn for each attempt. Were the lost entry of
    an earlier attempt written again on the promoted server with the same hash, an old wait would pass for the new."""
    return Fence(position, now_ns)


def passed(fence: Fence, seen: Seen | None, now_ns: int, terms: Terms) -> Passed | None:
    """None: not yet. ``seen`` is None where no server answered: then only the wait can pass the fence.

    I3: every host's filter holds k, or its leases from before k have ended."""
    waited = now_ns - fence.t0_ns
    if seen is not None and seen.has_entry and seen.behind == 0:
        return Passed(by_wait=False, hosts=seen.hosts, confirmed=seen.hosts, waited_ns=waited)
    if waited < terms.wait_ns:
        return None
    if seen is None or not seen.has_entry:
        return Passed(by_wait=True, hosts=0, confirmed=0, waited_ns=waited)
    return Passed(by_wait=True, hosts=seen.hosts, confirmed=seen.hosts - seen.behind, waited_ns=waited)


@dataclass(frozen=True, slots=True)
class Send:
    """The stored answer, after the synchronous commit's reply: the only way out."""

    answer: bytes


class Withhold(Enum):
    GONE = "gone"  # (k, h_k) is not on this server: the entry was lost with its idempotency row, or we ask a stale one
    UNKNOWN = "unknown"  # the commit's outcome is not known: ask again, with the same idempotency key


def stores(stored: bytes | None, has_entry: bool, answer: bytes) -> bytes | None:
    """Inside the ANSWER transaction: what the row's answer is afterwards. None: nothing is stored, nothing is sent."""
    if not has_entry:
        return None
    return answer if stored is None else stored


def answer(stored: bytes | None, committed: bool) -> Send | Withhold:
    """After the ANSWER transaction, which is committed synchronously even where the answer was stored already: that
    commit is the proof that the entry before it is on every server that may be promoted."""
    if not committed:
        return Withhold.UNKNOWN
    return Withhold.GONE if stored is None else Send(stored)
