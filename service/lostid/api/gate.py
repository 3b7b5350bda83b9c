"""Where requests line up when the worker is late: the shell of `guard.shedding`. One per worker.

As long as the loop turns in time nobody lines up, and all this costs a request is one look at `late`. Once a turn was
late, checks wait in the fair order of their tenants and are served for a slice of each turn; who finds no room is
refused at once, before anything is decoded or computed. Batches, which take many turns, wait in a line of their own,
and so does the control plane: what reports, above all, has a line that no number of checks can fill.

What must hold: everybody who was admitted is served or refused; a line that is not empty is being served; probes never
wait."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from lostid.guard.shares import Shares
from lostid.guard.shedding import MOST_WAKES, TURN_NS, Backlog, Pace, next_wakes, slice_ns

_TICK_S = 0.02
_MOST_A_TICK = 600
_LATE_NS = 10_000_000  # how late a tick makes a turn a late one
_CALM_NS = 200_000_000  # in time for so long, and nobody has to line up any more

_CHECK_WAIT_NS = 60_000_000  # the longest that a check shall wait, by the pace of the moment
_CHECK_PATIENCE_NS = 180_000_000  # if it has waited longer after all, an answer would come too late to be of use
_BATCH_WAIT_NS = 400_000_000  # sixteen of a thousand documents are no overload
_BATCHES_AT_ONCE = 2
_CONTROL_LIMIT = 256
_CONTROL_A_TURN = 2  # each costs the loop about a millisecond
_FIRST_PACE_NS = 100_000.0

_REST_NS = 35_000_000
_UNIT_BYTES = 400  # of a body: more than that of an ordinary check


class Ticket(Protocol):
    """A request that waits. One of the two is called, once."""

    def serve(self) -> asyncio.Future[None] | None:
        """Answer. Returns what ends with the answer where that takes more than this call."""

    def refuse(self) -> None:
        """Say that it took too long."""


class Gate:
    """`tenant_of`: whose request it is, by its Authorization header. Strangers are all one."""

    def __init__(self, tenant_of: Callable[[bytes | None], str]) -> None:
        self.late = False
        self._unasked = 0  # requests that were served without a line since the last tick
        self._resting: deque[tuple[int, asyncio.Transport]] = deque()
        self._wakes = MOST_WAKES
        self._tenant_of = tenant_of
        self._shares = Shares()
        self._checks: Backlog[Ticket] = Backlog(1)
        self._check_pace = Pace(_FIRST_PACE_NS, _CHECK_WAIT_NS)
        self._batches: Backlog[Ticket] = Backlog(1)
        self._batch_pace = Pace(_FIRST_PACE_NS, _BATCH_WAIT_NS)
        self._control: Backlog[Ticket] = Backlog(_CONTROL_LIMIT)
        self._running = 0  # batches
        self._batch_ended = 0
        self._draining = False
        self._drained = 0  # when the last turn's slice ended, on the wall and in processor time
        self._used = 0
        self._full = False  # somebody was refused since the last turn
        self._refused: set[bytes | None] = set()  # whose checks: before the next turn there is no more room than now
        self._pressed = 0  # when there was last more to do than a turn could hold
        self._due = 0
        self._timer: asyncio.TimerHandle | None = None

    # --- lateness ----------------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """From now on, until `close`."""
        self._due = time.monotonic_ns() + int(_TICK_S * 1e9)
        self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._tick)

    def close(self) -> None:
        """Whoever waits is still served."""
        if self._timer is not None:
            self._timer.cancel()

    def is_late(self) -> bool:
        """Whether this request has to line up. The loop reads thousands of them in one turn if they are there, and no
        timer runs before it is through: so many of them are lateness too."""
        self._unasked += 1
        if self._unasked > _MOST_A_TICK and not self.late:
            self.late, self._pressed = True, time.monotonic_ns()
        return self.late

    def _tick(self) -> None:
        now = time.monotonic_ns()
        self._unasked = 0
        self._wake_resting(now, 0)
        if self.late:
            self._shares.next_window()
            self._refused.clear()
        if now - self._due > _LATE_NS:
            self.late, self._pressed = True, now
        elif self.late and now - self._pressed > _CALM_NS:
            self.late = False
        self.watch()

    def has_room(self, authorization: bytes | None, *, batch: bool) -> bool:
        """Whether a check may be answered at once or line up."""
        if not batch and authorization in self._refused:
            return False
        tenant = self._tenant_of(authorization)
        if not batch and self._is_modest(tenant):
            return True
        line, pace = (self._batches, self._batch_pace) if batch else (self._checks, self._check_pace)
        line.limit = pace.limit
        if line.has_room(tenant):
            return True
        self._full = True
        if not batch:
            self._refused.add(authorization)
        self._see_to_it()
        return False

    def rest(self, transport: asyncio.Transport) -> None:
        """Read no more from a connection in this turn of the loop: it would go on reading from those who ask again at
        once, and never come to its end. In the next turns as many are read from again as there is time to refuse, or
        when they have rested for long."""
        transport.pause_reading()
        self._resting.append((time.monotonic_ns(), transport))
        self._see_to_it()

    def _wake_resting(self, now: int, wakes: int) -> None:
        resting = self._resting
        while resting and (wakes > 0 or now - resting[0][0] > _REST_NS):
            wakes -= 1
            _, transport = resting.popleft()
            if not transport.is_closing():
                transport.resume_reading()

    # --- lining up ---------------------------------------------------------------------------------------------------

    def passes(self, authorization: bytes | None, size: int) -> bool:
        """Whether a check need not line up, for its tenant keeps to its share. Then it has to be answered now."""
        tenant = self._tenant_of(authorization)
        if not self._is_modest(tenant):
            return False
        self._shares.count(tenant, _units(size))
        return True

    def _is_modest(self, tenant: str) -> bool:
        return self._shares.has_left(tenant) and not self._checks.holds(tenant)

    def line_up_check(self, authorization: bytes | None, size: int, ticket: Ticket) -> bool:
        """False: there is no room. `size`: of the body."""
        self._checks.limit = self._check_pace.limit
        if not self._put(self._checks, authorization, _units(size), ticket):
            return False
        self._see_to_it()
        return True

    def line_up_batch(self, authorization: bytes | None, size: int, ticket: Ticket) -> bool:
        """The same; batches are served a few at a time."""
        self._batches.limit = self._batch_pace.limit
        if not self._put(self._batches, authorization, _units(size), ticket):
            return False
        self._start_batches()
        return True

    def line_up_control(self, authorization: bytes | None, ticket: Ticket) -> bool:
        """The same for the control plane."""
        if not self._put(self._control, authorization, 1, ticket):
            return False
        self._see_to_it()
        return True

    def _put(self, line: Backlog[Ticket], authorization: bytes | None, cost: int, ticket: Ticket) -> bool:
        return line.put(self._tenant_of(authorization), cost, ticket, time.monotonic_ns())

    # --- serving -----------------------------------------------------------------------------------------------------

    def _see_to_it(self) -> None:
        if not self._draining:
            self._draining = True
            self._drained, self._used = time.monotonic_ns(), time.thread_time_ns()
            asyncio.get_running_loop().call_soon(self._drain)

    def _drain(self) -> None:
        """Once in a turn of the loop, as long as somebody waits.

        The slice is of processor time: on a machine that others use as well, the hour of the wall would be spent on
        refusing. How much may wait is a matter of the wall clock, for so does who waits."""
        now, used = time.monotonic_ns(), time.thread_time_ns()
        for _ in range(_CONTROL_A_TURN):
            control = self._control.take(now)
            if control is not None:
                control.item.serve()
        elsewhere = used - self._used
        end = used + slice_ns(elsewhere)
        units = 0
        while used < end and (taken := self._checks.take(now)) is not None:
            if taken.waited_ns > _CHECK_PATIENCE_NS:
                taken.item.refuse()
            else:
                taken.item.serve()
            units += taken.cost
            self._shares.count(taken.tenant, taken.cost)
            used = time.thread_time_ns()
        before, self._drained, self._used = self._drained, time.monotonic_ns(), used
        if self._checks.waiting:
            self._check_pace.learn(units, self._drained - before)
            self._pressed = now
        elif self._full:
            self._check_pace.hurry()
            self._pressed = now
        self._full = False
        self._refused.clear()
        self._wakes = next_wakes(self._wakes, elsewhere if used >= end else 0, TURN_NS)
        self._wake_resting(now, self._wakes)
        self._draining = bool(self._checks.waiting or self._control.waiting or self._resting)
        if self._draining:
            asyncio.get_running_loop().call_soon(self._drain)

    def _start_batches(self) -> None:
        while self._running < _BATCHES_AT_ONCE:
            taken = self._batches.take(time.monotonic_ns())
            if taken is None:
                return
            answered = taken.item.serve()
            if answered is not None:
                self._running += 1
                cost = taken.cost
                answered.add_done_callback(lambda _, cost=cost: self._batch_over(cost))  # type: ignore[misc]

    def _batch_over(self, cost: int) -> None:
        now = time.monotonic_ns()
        self._running -= 1
        if self._batches.waiting:
            self._batch_pace.learn(cost, now - self._batch_ended)
            self._pressed = now
        self._batch_ended = now
        self._start_batches()


def _units(size: int) -> int:
    return 1 + size // _UNIT_BYTES
