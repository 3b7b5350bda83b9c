"""The rules one by one; what they promise together is shown in tests/simulation."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lostid.domain.position import Position
from lostid.replication import apply, checking, copying, evict, fence, lease, swap
from lostid.replication.checking import Exact, KeysAsOf
from lostid.replication.copying import Head, Move
from lostid.replication.evict import Sample
from lostid.replication.fence import Found, Seen, Withhold, WriteRow
from lostid.replication.granting import Row, fence_state, renew
from lostid.replication.lease import Lease, Phase, Reply
from lostid.replication.rules import TERMS
from lostid.replication.swap import Build
from tests.conformance.models import Line

NOW = 5_000_000_000
AT = Position(7, b"seven")


def holding(now: int = NOW) -> Lease:
    state = lease.after_join(lease.join(lease.loaded(Lease()), b"inc"), committed=True)
    asked, request = lease.ask(state, AT, now)
    return lease.after_renew(asked, Reply.GRANTED, request.sent_ns, TERMS)


def test_lease_counts_from_sending() -> None:
    """A lease ends one term after its request was sent, however late the reply."""
    state = holding()
    assert state.until_ns == NOW + TERMS.lease_ns
    assert lease.alive(state.until_ns, NOW + TERMS.lease_ns - 1)
    assert not lease.alive(state.until_ns, NOW + TERMS.lease_ns)


def test_behind_leaves_the_lease() -> None:
    """BEHIND and LOST neither lengthen nor take a lease; NO_ROW takes it."""
    asked, request = lease.ask(holding(), AT, NOW + 10)
    for reply in (Reply.BEHIND, Reply.LOST):
        assert lease.after_renew(asked, reply, request.sent_ns, TERMS).until_ns == NOW + TERMS.lease_ns
    doubting = lease.after_renew(asked, Reply.NO_ROW, request.sent_ns, TERMS)
    assert (doubting.until_ns, doubting.phase) == (0, Phase.DOUBTING)
    assert lease.after_doubt(doubting, on_chain=True).phase is Phase.LOADED
    assert lease.after_doubt(doubting, on_chain=False).phase is Phase.LOADING


@pytest.mark.parametrize("gone", [lease.reload, lease.leave, lease.loaded], ids=lambda gone: gone.__name__)
def test_late_grant(gone: Callable[[Lease], Lease]) -> None:
    """A grant that is no longer waited for brings no lease."""
    asked, request = lease.ask(holding(), AT, NOW + 10)
    state = gone(asked)
    assert lease.after_renew(state, Reply.GRANTED, request.sent_ns, TERMS) == state
    assert state.until_ns == 0


@given(st.lists(st.tuples(st.sampled_from(Reply), st.integers(0, 2 * TERMS.lease_ns)), max_size=20))
def test_lease_bound(replies: list[tuple[Reply, int]]) -> None:
    """Whatever comes back and whenever, no lease outlasts its request by more than a term."""
    state, now = holding(), NOW
    for reply, later in replies:
        now += later
        if not lease.renew_due(state, AT, now):
            continue
        state, request = lease.ask(state, AT, now)
        state = lease.after_renew(state, reply, request.sent_ns, TERMS)
        assert state.until_ns <= state.latest_ns <= now + TERMS.lease_ns


def test_join_first() -> None:
    """No RENEW before the JOIN was heard of; an unheard JOIN is begun anew."""
    joining = lease.join(lease.loaded(Lease()), b"inc")
    assert not lease.renew_due(joining, AT, NOW)
    with pytest.raises(ValueError, match="RENEW needs"):
        lease.ask(joining, AT, NOW)
    assert lease.after_join(joining, committed=False).phase is Phase.LOADED


def test_shown_less() -> None:
    """A page may show less only when the leases that readers carry have ended, whoever granted them."""
    build = Build(2, Position(5, b"five"))
    gone = lease.reload(holding())
    assert not swap.may_show(build, AT, gone, NOW + TERMS.lease_ns - 1)
    assert swap.may_show(build, AT, gone, NOW + TERMS.lease_ns)
    assert not swap.may_show(build, AT, lease.restart(NOW, TERMS), NOW + 1)
    assert swap.may_show(Build(2, AT), AT, gone, NOW)
    assert swap.may_show(build, None, gone, NOW)


def test_apply() -> None:
    """Only what continues our own chain is applied, of a batch all or nothing."""
    good = [Line(8, b"seven", b"eight"), Line(9, b"eight", b"nine")]
    assert apply.accept_batch(AT, good) == apply.Accept(tuple(good), Position(9, b"nine"))
    for wrong in (Line(9, b"seven", b"nine"), Line(8, b"other", b"eight"), Line(7, b"six", b"seven")):
        assert apply.accept_batch(AT, [wrong]) == apply.Reload(AT)
    assert apply.accept_batch(AT, [good[0], Line(9, b"other", b"nine")]) == apply.Reload(AT)


def test_fence() -> None:
    """Passed when a server that has the entry has no host behind it, or by waiting; seeing nothing is no passing."""
    begun = fence.begin(AT, NOW)
    ends = NOW + TERMS.wait_ns
    for seen in (None, Seen(has_entry=False, hosts=0, behind=0), Seen(has_entry=True, hosts=3, behind=1)):
        assert fence.passed(begun, seen, ends - 1, TERMS) is None
        by_wait = fence.passed(begun, seen, ends, TERMS)
        assert by_wait is not None
        assert by_wait.by_wait
    at_once = fence.passed(begun, Seen(has_entry=True, hosts=3, behind=0), NOW + 1, TERMS)
    assert at_once == fence.Passed(by_wait=False, hosts=3, confirmed=3, waited_ns=1)


def test_writes() -> None:
    """Nothing is sent but what is stored, and nothing is stored where the entry is not."""
    cases = [
        (None, Found.NEW),
        (WriteRow(b"f", AT, None), Found.FENCE),
        (WriteRow(b"f", AT, b"answer"), Found.REPLAY),
        (WriteRow(b"f", None, None), Found.IN_USE),
        (WriteRow(b"g", AT, b"answer"), Found.REUSED),
    ]
    assert [fence.found(row, b"f") for row, _ in cases] == [expected for _, expected in cases]
    assert fence.stores(None, has_entry=False, answer=b"a") is None
    assert fence.stores(b"first", has_entry=True, answer=b"a") == b"first"
    assert fence.answer(b"first", committed=True) == fence.Send(b"first")
    assert fence.answer(b"first", committed=False) is Withhold.UNKNOWN
    assert fence.answer(None, committed=True) is Withhold.GONE


def test_evict() -> None:
    """A row is deleted when its n stood still for L_w on the evictor's clock; another n begins anew."""
    samples = evict.observe({}, [(b"a", 1), (b"b", 1)], NOW)
    later = NOW + TERMS.wait_ns
    samples = evict.observe(samples, [(b"a", 1), (b"b", 2)], later)
    assert evict.candidates(samples, later, TERMS) == [Sample(b"a", 1, NOW)]
    assert evict.candidates(samples, later - 1, TERMS) == []
    assert evict.observe(samples, [], later) == {}


def test_granting() -> None:
    """A lease for who holds the head; what others hold is noted; a fence counts who is behind."""
    chain = {7: b"seven", 8: b"eight"}
    hosts = {b"inc": Row(0, 0)}
    assert renew(hosts, chain, 8, b"inc", Position(8, b"eight"), 5) == (Row(5, 8), Reply.GRANTED)
    assert renew(hosts, chain, 8, b"inc", AT, 5) == (Row(5, 7), Reply.BEHIND)
    assert renew(hosts, chain, 8, b"inc", Position(8, b"other"), 5) == (None, Reply.NO_ROW)
    assert renew(hosts, chain, 8, b"who", AT, 5) == (None, Reply.NO_ROW)
    assert fence_state({b"a": Row(5, 7), b"b": Row(6, 6)}, chain, AT) == Seen(has_entry=True, hosts=2, behind=1)


def test_copying() -> None:
    """Redis moves by its successor alone, is filled by one filler step by step, and is believed by what it contains."""
    head = Head(AT)
    assert copying.move(head, on_chain=True, ledger=Position(9, b"nine")) is Move.APPEND
    assert copying.move(head, on_chain=True, ledger=AT) is Move.IDLE
    assert copying.move(head, on_chain=False, ledger=AT) is Move.REFILL
    assert copying.move(Head(None, "x", 3), on_chain=False, ledger=AT) is Move.REFILL
    assert copying.appends(head, Line(8, b"seven", b"eight"))
    assert not copying.appends(head, Line(8, b"other", b"eight"))
    assert not copying.wipes(Head(None, "x"), Head(AT))
    assert [copying.fills(Head(None, "x", 3), *by) for by in (("x", 3), ("x", 2), ("y", 3))] == [True, False, False]
    assert not copying.fills(Head(None), "", 0)
    assert copying.proves(head, {6: b"six", 7: b"seven"}, Position(6, b"six"))
    assert not copying.proves(head, {6: b"six", 7: b"seven"}, Position(6, b"other"))
    assert not copying.proves(Head(None), {6: b"six"}, Position(6, b"six"))


def test_exact() -> None:
    """Redis is believed for a record that it proves, never for a miss; the ledger for both."""
    assert checking.registry_says(answered=True, proven=True, record=b"r") is Exact.BELIEVE
    for answered, proven, record in ((True, True, None), (True, False, b"r"), (False, True, b"r")):
        assert checking.registry_says(answered, proven, record) is Exact.ASK_LEDGER
    assert checking.ledger_says(answered=True, has_position=True) is Exact.BELIEVE
    assert checking.ledger_says(answered=True, has_position=False) is Exact.UNPROVEN
    assert checking.ledger_says(answered=False, has_position=True) is Exact.UNPROVEN


def test_keys_current() -> None:
    """Cached API keys are good for the generation under which they were loaded, up to the position they contain."""
    assert checking.keys_current(KeysAsOf(gen=3, seq=9), gen=3, auth_seq=9)
    assert not checking.keys_current(KeysAsOf(gen=3, seq=9), gen=3, auth_seq=10)
    assert not checking.keys_current(KeysAsOf(gen=2, seq=9), gen=3, auth_seq=9)
    assert not checking.keys_current(None, gen=3, auth_seq=0)
