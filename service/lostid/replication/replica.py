"""The replica: the one process of a host that applies the ledger's entries to its filter and holds its read lease.

A thin shell: `lease`, `apply`, `swap` and `evict` decide; `HostFilter` writes page and filter; `ledger.hosts` carries
out JOIN, RENEW, EVICT and LEAVE. One thread, one connection, one statement in flight. Ends by SIGTERM with LEAVE; if it
is killed, its lease ends by itself and its successor deletes its row.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from secrets import token_bytes
from types import FrameType

from lostid.domain.canaries import canary_keys
from lostid.domain.keys import Keyring
from lostid.domain.position import Position
from lostid.filter.page import PageHeld, PageWriter, boot_id, boottime_ns
from lostid.filter.page import Phase as Doing
from lostid.ledger import doc_keys, entries, hosts
from lostid.ledger.entries import Entry
from lostid.ledger.errors import LedgerError, LedgerFault
from lostid.replication import apply, evictor, lease
from lostid.replication.evictor import Evictor
from lostid.replication.host_filter import HostFilter
from lostid.replication.lease import Lease, Phase, Reply
from lostid.replication.loading import Loader
from lostid.replication.rules import RENEW_EVERY_NS, TERMS
from lostid.replication.staging import Staging, released
from lostid.replication.wire import HasFileno, Wire
from lostid.secrets import load_or_make
from lostid.settings import Settings, private_dir

log = logging.getLogger("lostid.replica")

BATCH = 500
CHECK_EVERY_NS = 1_000_000_000
RETRY_S = (0.02, 0.5)
LEAVE_S = 1.0


class Replica:
    """One turn after the other, for as long as nobody stops it."""

    def __init__(self, host: HostFilter, wire: Wire, loader: Loader, clock: Callable[[], int] = boottime_ns) -> None:
        self.host, self.wire, self.loader, self.clock = host, wire, loader, clock
        self.lease = lease.restart(clock(), TERMS)
        self.staging = Staging(host, clock)
        self.evictor = Evictor()
        self.former = host.page.inc  # the row that the replica before us may have left, or we ourselves
        self._retry_s = RETRY_S[0]
        self._said = ""
        self._checked_ns = 0

    # -- the loop ------------------------------------------------------------------------------------------------------

    def run(self, stopping: Callable[[], bool], wakes: Sequence[HasFileno | int] = ()) -> None:
        """Until `stopping`, which is asked after every wait, or until somebody removes the page under us. Then LEAVE.

        `wakes` become readable when `stopping` changes."""
        try:
            while not stopping() and self.host.page.is_current():
                try:
                    pause = self.turn()
                    self.wire.wait(pause, [*wakes, *self.loader.wakes()])
                    self._retry_s, self._said = RETRY_S[0], ""
                except LedgerError as reason:
                    self._ledger_away(reason)
                    self.wire.wait(self._retry_s, wakes)
                    self._retry_s = min(self._retry_s * 2, RETRY_S[1])
        except BaseException:
            self.host.page.zero_lease()
            raise
        finally:
            self.loader.drop()
        self.leave()

    def turn(self) -> float:
        """Everything there is to do now. Returns how long to wait, in seconds, if nobody wakes us."""
        self._check()
        with self.wire.call() as conn:
            if self.former is not None:
                hosts.leave(conn, self.former)
                self.former = None
        if self.lease.phase is Phase.DOUBTING:
            self._doubt()
        if self.lease.phase is Phase.LOADING and not self._load():
            return 0.05
        more = self._apply()
        if self.lease.phase is Phase.LOADED and not more:
            self._join()
        more |= self._renew()
        if self.lease.phase is not Phase.LOADING:
            more |= self._stage()
            self.loader.grow(self.clock())
        self._evict()
        self._report()
        return 0.0 if more else self._until_due()

    def leave(self) -> None:
        """LEAVE: first the page, then the row. If the ledger does not answer, the row is left to EVICT."""
        inc = self.lease.inc
        self._become(lease.leave(self.lease))
        self.host.note()
        self.host.page.report(Doing.STOPPED)
        if inc is not None:
            try:
                with self.wire.call(LEAVE_S) as conn:
                    hosts.leave(conn, inc)
            except LedgerError as reason:
                log.warning("left without saying so: %s", reason)
        self.wire.close()

    # -- the lease -----------------------------------------------------------------------------------------------------

    def _become(self, state: Lease) -> None:
        """The page shows what the rules say before anything else happens."""
        if state.until_ns != self.lease.until_ns:
            self.host.page.grant(state.until_ns)
        self.lease = state

    def _join(self) -> None:
        inc = token_bytes(16)
        self.host.page.note_inc(inc)
        self._become(lease.join(self.lease, inc))
        try:
            with self.wire.call() as conn:
                hosts.join(conn, inc)
        except LedgerError:
            self._become(lease.after_join(self.lease, committed=False))
            self.former = inc  # it never held a lease, but a row of it would hold every report up
            raise
        self._become(lease.after_join(self.lease, committed=True))

    def _renew(self) -> bool:
        """True: there is more to apply."""
        now = self.clock()
        if not lease.renew_due(self.lease, self._position, now):
            return False
        state, request = lease.ask(self.lease, self._position, now)
        self._become(state)
        reply = Reply.LOST
        try:
            with self.wire.call() as conn:
                reply = Reply(hosts.renew(conn, request.inc, request.position.seq, request.position.hash).value)
        finally:
            self._become(lease.after_renew(self.lease, reply, request.sent_ns, TERMS))
        self.host.page.tell(request.position.seq)
        return reply is not Reply.GRANTED

    def _doubt(self) -> None:
        with self.wire.call() as conn:
            on_chain = doc_keys.has(conn, self._position)
        log.warning("our row is gone; our position is %s the ledger's chain", "on" if on_chain else "NOT ON")
        self.former = self.lease.inc
        self._become(lease.after_doubt(self.lease, on_chain))
        if not on_chain:
            self.loader.drop()

    # -- the filter ----------------------------------------------------------------------------------------------------

    @property
    def _position(self) -> Position:
        position = self.host.position
        if position is None:
            raise RuntimeError("nothing is loaded")
        return position

    def _load(self) -> bool:
        """True: loaded, on the ledger's chain."""
        if not self.loader.load(self.wire, self.lease, self.clock()):
            return False
        self._become(lease.loaded(self.lease))
        return True

    def _apply(self) -> bool:
        """True: there may be more."""
        with self.wire.call() as conn:
            fresh = entries.read_after(conn, self._position.seq, BATCH)
        step = apply.accept_batch(self._position, fresh)
        altered = [entry.seq for entry in fresh if not entry.intact()]
        if altered:
            # Loading anew would take it in unseen. This host answers nothing until somebody has looked at the ledger.
            raise LedgerFault(f"entry {altered[0]} is not what its hash says: it was altered, or its disk has lied")
        if isinstance(step, apply.Reload):
            log.error("entry %d does not continue what this host holds: loading anew", self._position.seq + 1)
            self._reload()
            return True
        ready = self._with_rows(fresh)
        if ready:
            position = Position(ready[-1].seq, ready[-1].hash)
            auth_events = [entry.seq for entry in ready if entries.is_auth_event(entry.kind)]
            self.host.apply(ready, position, max(auth_events, default=None))
            self.loader.carry(ready)
        return len(ready) == BATCH or len(ready) < len(fresh)

    def _with_rows(self, fresh: Sequence[Entry]) -> Sequence[Entry]:
        """The entries up to the first that releases an import of which this filter does not have every row. That one
        waits for its rows: without a lease and without a row in `hosts`, so that no report waits for us."""
        for place, entry in enumerate(fresh):
            flip = released(entry)
            if flip is None:
                continue
            with self.wire.call() as conn:
                if self.staging.complete(conn, flip):
                    continue
                if place == 0 and self.lease.phase in (Phase.JOINING, Phase.JOINED):
                    log.warning("import %d was released before this host had its rows", flip.number)
                    self.former = self.lease.inc
                    self._become(lease.loaded(self.lease))
                    if self.former is not None:
                        hosts.leave(conn, self.former)
                        self.former = None
            return fresh[:place]
        return fresh

    def _stage(self) -> bool:
        """Imports that wait for their release. True: there is more."""
        with self.wire.call() as conn:
            inc = self.lease.inc if self.lease.phase is Phase.JOINED else None
            return self.staging.turn(conn, inc)

    def _reload(self) -> None:
        self.former = self.lease.inc
        self._become(lease.reload(self.lease))
        self.loader.drop()

    # -- now and then --------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        now = self.clock()
        if now - self._checked_ns < CHECK_EVERY_NS:
            return
        self._checked_ns = now
        if self.lease.phase is Phase.LOADING:
            return  # another filter is on its way; what is wrong with the old one is known
        self.host.note()
        if not self.host.sound():
            log.error("a canary is missing from the filter: loading anew")
            self._reload()

    def _evict(self) -> None:
        if self.evictor.due(self.clock()):
            with self.wire.call() as conn:
                gone = evictor.look(self.evictor, conn, self.clock, self.lease.inc)
            if gone:
                log.warning("removed %d hosts that no longer renew", gone)

    def _report(self) -> None:
        doing = Doing.GROWING if self.loader.building else Doing.FOLLOWING
        if self.lease.phase is not Phase.JOINED:
            doing = Doing.CATCHING_UP
        self.host.page.report(doing, *self.loader.progress())

    def _ledger_away(self, reason: LedgerError) -> None:
        if str(reason) != self._said:
            self._said = str(reason)
            log.warning("the ledger is away: %s", reason)
        self.wire.close()
        self.host.page.report(Doing.LEDGER_AWAY)

    def _until_due(self) -> float:
        due = RENEW_EVERY_NS if self.lease.sent_ns is None else self.lease.sent_ns + RENEW_EVERY_NS - self.clock()
        return max(0, due) / 1e9


def run(settings: Settings, fd: int | None) -> int:
    """The process. 0 after SIGTERM, 1 where another replica holds the page or the page was lost."""
    logging.basicConfig(level=logging.INFO, format="lostid: %(name)s: %(message)s", stream=sys.stderr)
    if settings.database_url is None:
        raise SystemExit("LOSTID_DATABASE_URL is not set")
    secrets = load_or_make(settings.secrets_path, make=False)
    keyring = Keyring(secrets.outer, secrets.pepper, secrets.sealing)
    run_dir, boot = private_dir(settings.run_dir), boot_id()
    stop = _Stop()
    try:
        with PageWriter(run_dir, keyring.key_id, boot) as page:
            host = HostFilter(page, run_dir, keyring.key_id, boot, canary_keys(keyring))
            environment = os.environ | {"LOSTID_DATABASE_URL": settings.database_url}
            loader = Loader(host, run_dir, settings.capacity, environment)
            Replica(host, Wire(settings.database_url), loader).run(stop.asked, [stop.wakes])
            if not page.is_current():
                log.error("the page was removed under us: nobody new can see what we write; starting over")
                return 1
    except PageHeld as reason:
        log.error("%s", reason)
        return 1
    return 0


class _Stop:
    """SIGTERM or SIGINT: noted, and something to wait on."""

    def __init__(self) -> None:
        self._asked = False
        self.wakes, end = os.pipe()
        os.set_blocking(self.wakes, False)
        os.set_blocking(end, False)
        signal.set_wakeup_fd(end, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def asked(self) -> bool:
        """Also drains what other signals (SIGALRM) left in the pipe."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.wakes, 4096)
        return self._asked

    def _ask(self, signum: int, frame: FrameType | None) -> None:
        self._asked = True
