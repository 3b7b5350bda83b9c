"""JOIN, RENEW, LEAVE: the right of a host to answer from its filter, as its replica keeps it.

The shell owns the page. It does what these functions say, in this order:

1. It writes ``until_ns`` to the page whenever a function returned another value than the page shows, *before* it
   does anything else. Zero on the page before a row is deleted, before a reload, before a JOIN.
2. One RENEW is in flight at a time. ``ask`` is called with BOOTTIME read before the request is sent, and the
   position on the page at that moment.
3. A request whose outcome is unknown is ``Reply.LOST`` and its connection is closed: no late reply can come.

A lease ends by itself: nobody has to take it away, readers compare ``until_ns`` with their own clock.
"""

from dataclasses import dataclass, replace
from enum import Enum

from lostid.replication.rules import RENEW_EVERY_NS, Position, Terms


class Phase(Enum):
    LOADING = "loading"  # the filter does not yet hold a position of the ledger's chain
    LOADED = "loaded"  # it does; no row in hosts
    JOINING = "joining"  # a row is being inserted, outcome not yet known
    JOINED = "joined"  # the row is committed: RENEW may be sent
    DOUBTING = "doubting"  # our row, or our position, is gone: is our position on the chain at all?


class Reply(Enum):
    """What came back from a RENEW."""

    GRANTED = "granted"  # the ledger's head is what we hold
    BEHIND = "behind"  # the ledger knows what we hold, and has more
    NO_ROW = "no_row"  # evicted, or our position is not on this ledger's chain
    LOST = "lost"  # outcome unknown: it may have happened, and nobody heard


@dataclass(frozen=True, slots=True)
class Lease:
    """``until_ns`` is what the page has to show, 0 for none. ``latest_ns`` is the end of the longest lease that any
    reader may have read off the page and still carry (it outlives a zeroed page)."""

    phase: Phase = Phase.LOADING
    inc: bytes | None = None
    until_ns: int = 0
    latest_ns: int = 0
    asked_ns: int | None = None
    sent_ns: int | None = None
    told_seq: int = -1


@dataclass(frozen=True, slots=True)
class Renew:
    """The RENEW to send: ``sent_ns`` comes back with its reply."""

    inc: bytes
    position: Position
    sent_ns: int


def restart(now_ns: int, terms: Terms) -> Lease:
    """A replica starts, flock held: it zeroes the page, then deletes the old inc's row, then loads.

    What the dead one had granted is not known, so readers may carry leases for one whole term from now."""
    return Lease(latest_ns=now_ns + terms.lease_ns)


def loaded(state: Lease) -> Lease:
    """The page and its filter hold a position: JOIN may follow."""
    return replace(_without(state), phase=Phase.LOADED)


def join(state: Lease, inc: bytes) -> Lease:
    """Insert hosts(inc, 0, 0). ``inc`` is 128 fresh random bits: used once, never taken up again."""
    if state.phase is not Phase.LOADED:
        raise ValueError(f"JOIN while {state.phase.value}")
    return replace(_without(state), phase=Phase.JOINING, inc=inc)


def after_join(state: Lease, committed: bool) -> Lease:
    """``committed``: the reply to the commit was received. Otherwise the row may exist; it is left to EVICT."""
    if state.phase is not Phase.JOINING:
        return state
    return replace(state, phase=Phase.JOINED if committed else Phase.LOADED, sent_ns=None, told_seq=-1)


def renew_due(state: Lease, position: Position, now_ns: int) -> bool:
    """Every 250 ms, and at once when something was applied since the ledger was last told."""
    if state.phase is not Phase.JOINED or state.asked_ns is not None:
        return False
    return state.sent_ns is None or position.seq != state.told_seq or now_ns - state.sent_ns >= RENEW_EVERY_NS


def ask(state: Lease, position: Position, now_ns: int) -> tuple[Lease, Renew]:
    """Send RENEW. ``position`` is on the page, and its filter's bits were set before it was."""
    if state.phase is not Phase.JOINED or state.inc is None or state.asked_ns is not None:
        raise ValueError("RENEW needs a committed JOIN and no other RENEW in flight")
    asked = replace(state, asked_ns=now_ns, sent_ns=now_ns, told_seq=position.seq)
    return asked, Renew(state.inc, position, now_ns)


def after_renew(state: Lease, reply: Reply, t_sent: int, terms: Terms) -> Lease:
    """A reply to the RENEW sent at ``t_sent``. One that is no longer waited for changes nothing.

    I1: the lease counts from before the granting snapshot, hence from the sending. BEHIND leaves an older lease to
    run out: the filter still holds all that it was granted for."""
    if state.asked_ns is None or state.asked_ns != t_sent:
        return state
    heard = replace(state, asked_ns=None)
    if reply is Reply.GRANTED:
        until = t_sent + terms.lease_ns
        return replace(heard, until_ns=until, latest_ns=max(heard.latest_ns, until))
    if reply is Reply.NO_ROW:
        return replace(_without(heard), phase=Phase.DOUBTING)
    return heard


def after_doubt(state: Lease, on_chain: bool) -> Lease:
    """The ledger was asked whether it has our position: if so JOIN again, if not load anew."""
    if state.phase is not Phase.DOUBTING:
        return state
    return replace(state, phase=Phase.LOADED if on_chain else Phase.LOADING)


def reload(state: Lease) -> Lease:
    """The chain does not continue from what we hold: no lease, no row of ours that counts, load anew."""
    return replace(_without(state), phase=Phase.LOADING)


def leave(state: Lease) -> Lease:
    """Going away: the page shows no lease, and only then is the inc's row deleted."""
    return replace(_without(state), phase=Phase.LOADING)


def may_show_less(state: Lease, now_ns: int) -> bool:
    """May the page show a lower position, another chain or a filter that holds less than it did?

    Only when no reader can still carry a lease granted for more: a worker that read its lease before we zeroed it
    reads gen and position after. Its own clock check refuses it from ``latest_ns`` on."""
    return state.until_ns == 0 and now_ns >= state.latest_ns


def alive(until_ns: int, now_ns: int) -> bool:
    """I4: ``until_ns`` was read after the request came in and before the lookup, ``now_ns`` after the lookup."""
    return now_ns < until_ns


def _without(state: Lease) -> Lease:
    """No lease, and a reply still under way will not bring one."""
    return replace(state, until_ns=0, asked_ns=None)
