"""The rules as the simulation's actors use them, and the ways to break them one at a time.

Honest `Rules` are the production functions themselves. A sabotage replaces one of them, or turns one flag that an
actor consults about the order of its steps; production code knows nothing of it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from lostid.replication import checking, copying, evict, fence, granting, swap
from lostid.replication.lease import Reply
from lostid.replication.rules import Position, Terms
from tests.simulation.ledger import chain_hash


@dataclass(frozen=True)
class Rules:
    passed: Callable[..., fence.Passed | None] = fence.passed
    renew: Callable[..., tuple[granting.Row | None, Reply]] = granting.renew
    evicts: Callable[..., bool] = granting.evicts
    candidates: Callable[..., list[evict.Sample]] = evict.candidates
    registry_says: Callable[..., checking.Exact] = checking.registry_says
    appends: Callable[..., bool] = copying.appends
    repairs: Callable[..., bool] = copying.repairs
    flips: Callable[..., bool] = copying.flips
    keys_current: Callable[..., bool] = checking.keys_current
    keys_by_position: bool = True
    may_show: Callable[..., bool] = swap.may_show
    chain_hash: Callable[[bytes, int, str], bytes] = chain_hash
    answer_with_entry: bool = False
    second_commit: bool = True
    replay_commits: bool = True
    lease_first: bool = True
    lease_by_clock: bool = True
    lease_from_sending: bool = True
    exact_needs_lease: bool = True
    join_apart: bool = True
    inc_used_once: bool = True
    n_drawn: bool = True
    bodies_differ: bool = True
    carry_over: bool = True
    zero_before_leaving: bool = True
    position_after_lease: bool = True
    bits_first: bool = True
    filter_may_convict: bool = False


class Sabotage(Enum):
    """The sixteen of the issue, and what we found on the way (from N_COUNTED on)."""

    ANSWER_BEFORE_FENCE = "answer before the fence"
    ANSWER_WITH_ENTRY = "answer stored with the entry"
    LEASE_AFTER_LOOKUP = "lease read after the lookup"
    LEASE_FLAG = "lease flag set by a timer"
    GRANT_WHILE_BEHIND = "renewal granted while behind"
    LEASE_FROM_REPLY = "lease counted from the reply"
    JOIN_IN_RENEW = "JOIN merged into RENEW"
    ROW_REPLACED = "a host's row replaced at restart"
    EVICT_EARLY = "evict before L_w"
    EVICT_WITHOUT_N = "evict without n"
    EXACT_WITHOUT_PROOF = "exact read without proof"
    EXACT_WITHOUT_LEASE = "exact read without lease"
    RELAY_WITHOUT_COMPARE = "relay without compare"
    SEQ_WITHOUT_HASH = "seq without hash"
    SWAP_WITHOUT_CARRY = "swap without carry-over"
    NO_SECOND_COMMIT = "no second commit"
    N_COUNTED = "n counted, not drawn"
    SAME_BODY = "the same body, hence the same hash, at the next attempt"
    REPLAY_UNPROVEN = "a stored answer replayed without a commit"
    REPAIR_WITHOUT_COMPARE = "a record mended without comparing the head"
    FLIP_UNPROVEN = "the head brought over an import although a record has come back"
    KEYS_BY_HEAD = "API keys taken to be as new as the head of the server they were read from"
    KEYS_WITHOUT_GEN = "API keys compared by seq alone"
    SHOWN_LESS = "a page that shows less while leases are carried"
    LEFT_UNZEROED = "the old row deleted while the page shows its lease"
    POSITION_BEFORE_LEASE = "(seq, hash) read before the lease"
    POSITION_BEFORE_BITS = "(seq, hash) shown before the bits"
    FILTER_CONVICTS = "a filter positive taken for a record"


def _passes_at_once(f: fence.Fence, seen: fence.Seen | None, now_ns: int, terms: Terms) -> fence.Passed:
    return fence.Passed(by_wait=False, hosts=0, confirmed=0, waited_ns=0)


def _grants_anyway(*args: Any) -> tuple[granting.Row | None, Reply]:
    row, reply = granting.renew(*args)
    return row, Reply.GRANTED if reply is Reply.BEHIND else reply


def _evicts_inc(hosts: granting.Hosts, inc: bytes, n: int) -> bool:
    return inc in hosts


def _early(samples: evict.Samples, now_ns: int, terms: Terms) -> list[evict.Sample]:
    return evict.candidates(samples, now_ns, Terms(terms.lease_ns, terms.wait_ns // 4))


def _believes_any(answered: bool, proven: bool, record: bytes | None) -> checking.Exact:
    return checking.registry_says(answered, True, record)


def _appends_any(head: copying.Head, entry: Any) -> bool:
    return head.position is not None


def _repairs_any(head: copying.Head, at: Position) -> bool:
    return head.position is not None


def _flips_at_head(head: copying.Head, entry: Any, nonce: str, steps: int) -> bool:
    return copying.appends(head, entry)


def _keys_by_seq(held: checking.KeysAsOf | None, gen: int, auth_seq: int) -> bool:
    return held is not None and held.seq >= auth_seq


def _shows_anyway(*args: Any) -> bool:
    return True


def _numbers_only(prev: bytes, seq: int, body: str) -> bytes:
    return b"genesis"


_HOW: dict[Sabotage, dict[str, Any]] = {
    Sabotage.ANSWER_BEFORE_FENCE: {"passed": _passes_at_once},
    Sabotage.ANSWER_WITH_ENTRY: {"answer_with_entry": True},
    Sabotage.LEASE_AFTER_LOOKUP: {"lease_first": False},
    Sabotage.LEASE_FLAG: {"lease_by_clock": False},
    Sabotage.GRANT_WHILE_BEHIND: {"renew": _grants_anyway},
    Sabotage.LEASE_FROM_REPLY: {"lease_from_sending": False},
    Sabotage.JOIN_IN_RENEW: {"join_apart": False},
    Sabotage.ROW_REPLACED: {"inc_used_once": False, "n_drawn": False},
    Sabotage.EVICT_EARLY: {"candidates": _early},
    Sabotage.EVICT_WITHOUT_N: {"evicts": _evicts_inc},
    Sabotage.EXACT_WITHOUT_PROOF: {"registry_says": _believes_any},
    Sabotage.EXACT_WITHOUT_LEASE: {"exact_needs_lease": False},
    Sabotage.RELAY_WITHOUT_COMPARE: {"appends": _appends_any},
    Sabotage.SEQ_WITHOUT_HASH: {"chain_hash": _numbers_only},
    Sabotage.SWAP_WITHOUT_CARRY: {"carry_over": False},
    Sabotage.NO_SECOND_COMMIT: {"second_commit": False},
    Sabotage.N_COUNTED: {"n_drawn": False},
    Sabotage.SAME_BODY: {"bodies_differ": False},
    Sabotage.REPLAY_UNPROVEN: {"replay_commits": False},
    Sabotage.REPAIR_WITHOUT_COMPARE: {"repairs": _repairs_any},
    Sabotage.FLIP_UNPROVEN: {"flips": _flips_at_head},
    Sabotage.KEYS_BY_HEAD: {"keys_by_position": False},
    Sabotage.KEYS_WITHOUT_GEN: {"keys_current": _keys_by_seq},
    Sabotage.SHOWN_LESS: {"may_show": _shows_anyway},
    Sabotage.LEFT_UNZEROED: {"zero_before_leaving": False},
    Sabotage.POSITION_BEFORE_LEASE: {"position_after_lease": False},
    Sabotage.POSITION_BEFORE_BITS: {"bits_first": False},
    Sabotage.FILTER_CONVICTS: {"filter_may_convict": True},
}


def rules(sabotage: Sabotage | None) -> Rules:
    return Rules() if sabotage is None else replace(Rules(), **_HOW[sabotage])
