"""Where each sabotage is found: a seed of the random schedules, or, for those that chance finds once in hundreds or
thousands, a schedule written by hand that says how it comes about (with one of a few seeds for the small delays).

A change of the simulation moves the seeds: `python -m tests.simulation --find NAME` finds new ones.
"""

from typing import Any

from tests.simulation.ledger import AUTH
from tests.simulation.sabotage import Sabotage
from tests.simulation.schedule import MS, SECOND, Ask, Fault, Report, Schedule


def _script(*events: Report | Ask | tuple[int, str, *tuple[Any, ...]], **rest: Any) -> Schedule:
    """Two hosts, one worker each, nothing left to chance but small delays. Tuples are faults: (ms, kind, arguments)."""
    return Schedule(
        seed=0,
        workers=1,
        end=rest.pop("end", 5_000) * MS,
        base=((0, 3),),
        reports=tuple(e for e in events if isinstance(e, Report)),
        asks=tuple(e for e in events if isinstance(e, Ask)),
        faults=tuple(Fault(e[0] * MS, e[1], e[2:]) for e in events if isinstance(e, tuple)),
        **rest,
    )


def _report(ms: int, key: int = 5, upto: int = 1, host: int = 0, idem: str = "") -> Report:
    return Report(ms * MS, host, key, upto, idem)


def _ask(ms: int, key: int = 5, card: int = 1, host: int = 1) -> Ask:
    return Ask(ms * MS, host, 0, key, card)


# Host 1 is cut off, the fence passes by waiting. A check there looks into the filter, in vain, and stalls; the host
# comes back, applies, renews; the check goes on.
_lease_after_lookup = _script(
    (500, "cut", 1, "ledger", 2 * SECOND),
    _report(520),
    (2_390, "hold", 1, "check.lookup", 800 * MS),
    _ask(2_400),
)

# A renewal of host 1 is granted, and its reply is taken in 900 ms later; by then the host is cut off from a report.
_lease_from_reply = _script(
    (600, "hold", 1, "renew.reply", 900 * MS),
    (880, "cut", 1, "ledger", 4 * SECOND),
    _report(890),
)

# The first renewal of a restarted host 1 has its snapshot, and is held before its commit: the fence sees no row. Host 1
# is slow to apply.
_join_in_renew = _script(
    (500, "kill", 1, "replica", 100 * MS),
    (603, "backend", "renew", 60 * MS),
    (603, "hold", 1, "apply.bits", 800 * MS),
    _report(640),
)

# Host 0 samples host 1's row and stops; host 1 starts again under the same name and counts to the same n.
_row_replaced = _script(
    (1_000, "pause", 0, "replica", 1_500 * MS),
    (1_480, "kill", 1, "replica", 20 * MS),
    (2_560, "cut", 1, "ledger", 2 * SECOND),
    _report(2_580),
)

# Host 1 is away for more than L_w, and comes back between host 0's last look at its row and the delete.
_evict_without_n = _script(
    (500, "cut", 1, "ledger", 1_800 * MS),
    (2_100, "hold", 0, "evict", 400 * MS),
    (2_720, "cut", 1, "ledger", 2 * SECOND),
    _report(2_740),
)

# The standby is cut off. A commit becomes visible unheard; the retry finds it, waits at the fence, and answers without
# a commit that would have shown that nobody else has it. Then the standby is promoted.
_no_second_commit = _script(
    (500, "wal_cut", 5 * SECOND),
    _report(510),
    (540, "terminate"),
    (2_400, "failover", 50 * MS),
)

# The same, and the commit that stores the answer becomes visible unheard as well: the next retry finds an answer.
_replay_unproven = _script(
    (500, "wal_cut", 5 * SECOND),
    _report(510),
    (540, "terminate"),
    (2_300, "terminate"),
    (2_600, "failover", 50 * MS),
)

# The retry found the entry where nobody else has it, and waits. A second client writes it again, word for word, on the
# promoted standby: the old wait is taken for the new entry's. Host 1 hears of neither.
_same_body = _script(
    (500, "wal_cut", 5 * SECOND),
    (505, "pause", 1, "replica", 895 * MS),
    _report(510, idem="one"),
    (540, "terminate"),
    (700, "failover", 20 * MS),
    (1_495, "cut", 1, "ledger", 3 * SECOND),
    _report(1_500, idem="one"),
)

# The same again, but a renewal of host 1 becomes visible unheard, and is sampled by host 0. On the promoted standby the
# next renewal counts to the same n: the eviction of what was sampled takes a row with a lease on it.
_n_counted = _script(
    (500, "wal_cut", 5 * SECOND),
    (1_000, "terminate"),
    (2_560, "hold", 0, "evict", 700 * MS),
    (2_600, "failover", 700 * MS),
    (3_302, "cut", 1, "ledger", 2 * SECOND),
    *(_report(3_310 + 40 * n, key=5 + n) for n in range(5)),
)

# A commit of the old primary is visible unheard when a worker of host 1 loads the API keys from it. On the promoted
# standby a revocation gets the same number.
_keys_by_head = _script(
    (500, "wal_cut", 5 * SECOND),
    (505, "pause", 1, "replica", 995 * MS),
    _report(510),
    (540, "terminate"),
    _ask(600, key=AUTH + 1),
    (700, "failover", 20 * MS),
    _report(1_450, key=AUTH + 1),
)

# The same, and host 1 has applied what is lost: it loads anew, from before the number that its keys are said to have.
_keys_without_gen = _script(
    (500, "wal_cut", 5 * SECOND),
    _report(510),
    (540, "terminate"),
    _ask(600, key=AUTH + 1),
    (700, "failover", 20 * MS),
    _report(1_450, key=AUTH + 1),
)

# A check on host 1 has read its lease and stalls. The replica starts anew from an archive that is far behind, and shows
# a filter without what the lease was granted for.
_shown_less = _script(
    _report(600),
    (650, "hold", 1, "check.lease", 400 * MS),
    _ask(655),
    (660, "reads_from", 1, True),
    (661, "kill", 1, "replica", 5 * MS),
    end=2_500,
)

# Host 1 is cut off, and its Redis is an old copy that nobody feeds. A check reads the position, stalls, the host comes
# back and is granted a lease for more, and the old copy proves that it contains the old position.
_position_before_lease = _script(
    (400, "redis_save"),
    (450, "kill", 1, "relay", 9 * SECOND),
    (460, "redis_split", 2, True, 9 * SECOND),
    (500, "cut", 1, "ledger", 2 * SECOND),
    _report(520, key=0, upto=4),
    (2_390, "hold", 1, "check.position_early", 400 * MS),
    _ask(2_400, key=0, card=4),
)

# An import is released on documents 6 and 0. The relay has dropped both records and is about to move the head, when an
# older Redis takes its place, with the record of 0 as it was. Nothing is brought back for a while.
_flip_unproven = _script(
    (450, "redis_save"),
    (490, "hold", 0, "relay.append", 100 * MS),
    Report(500 * MS, 0, 6, 60, more=(0,)),
    (550, "hold", 0, "relay.append", 100 * MS),
    (650, "hold", 0, "relay.append", 100 * MS),
    (750, "redis_restore"),
    (780, "hold", 0, "relay.append", 800 * MS),
    _ask(1_000, key=0, card=50, host=0),
    _ask(1_200, key=0, card=50, host=0),
    hosts=1,
    bursts=False,
)

FOUND: dict[Sabotage, int | Schedule] = {
    Sabotage.ANSWER_BEFORE_FENCE: 0,
    Sabotage.ANSWER_WITH_ENTRY: 134,
    Sabotage.LEASE_AFTER_LOOKUP: _lease_after_lookup,
    Sabotage.LEASE_FLAG: 0,
    Sabotage.GRANT_WHILE_BEHIND: 2,
    Sabotage.LEASE_FROM_REPLY: _lease_from_reply,
    Sabotage.JOIN_IN_RENEW: _join_in_renew,
    Sabotage.ROW_REPLACED: _row_replaced,
    Sabotage.EVICT_EARLY: 5,
    Sabotage.EVICT_WITHOUT_N: _evict_without_n,
    Sabotage.EXACT_WITHOUT_PROOF: 1,
    Sabotage.EXACT_WITHOUT_LEASE: 2,
    Sabotage.RELAY_WITHOUT_COMPARE: 76,
    Sabotage.SEQ_WITHOUT_HASH: 18,
    Sabotage.SWAP_WITHOUT_CARRY: 1,
    Sabotage.NO_SECOND_COMMIT: _no_second_commit,
    Sabotage.N_COUNTED: _n_counted,
    Sabotage.REPLAY_UNPROVEN: _replay_unproven,
    Sabotage.SAME_BODY: _same_body,
    Sabotage.REPAIR_WITHOUT_COMPARE: 16,
    Sabotage.FLIP_UNPROVEN: _flip_unproven,
    Sabotage.KEYS_BY_HEAD: _keys_by_head,
    Sabotage.KEYS_WITHOUT_GEN: _keys_without_gen,
    Sabotage.SHOWN_LESS: _shown_less,
    Sabotage.LEFT_UNZEROED: 0,
    Sabotage.POSITION_BEFORE_LEASE: _position_before_lease,
    Sabotage.POSITION_BEFORE_BITS: 143,
    Sabotage.FILTER_CONVICTS: 0,
}
