"""Imports on a host: the bits of their rows are set before their entry comes, so that applying it takes no time.

What must hold: the entry that releases an import is applied only when this generation of the filter has the bits of
every row that the entry's digest names. All else is to have that done beforehand: a part in each of the replica's
turns, while the host answers and renews. What has been set is known by import and digest, of one generation, in memory
alone: a replica that starts again, or flips to another generation, sets them once more, which changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

from lostid.domain import staged
from lostid.domain.staged import Flip
from lostid.ledger import import_reading
from lostid.ledger.entries import RELEASED, Entry
from lostid.ledger.errors import LedgerFault
from lostid.ledger.import_reading import Reading, Waiting
from lostid.ledger.statement import Conn
from lostid.replication.host_filter import HostFilter

log = logging.getLogger("lostid.replica")

LOOK_EVERY_NS: Final = 200_000_000
FORGET_EVERY: Final = 300


def released(entry: Entry) -> Flip | None:
    """The import whose rows have to be in the filter before this entry is applied. A withdrawal needs no bits."""
    return entry.flip if entry.kind == RELEASED else None


class Staging:
    """`turn` now and then while the host follows; `complete` where an entry is about to be applied."""

    def __init__(self, host: HostFilter, clock: Callable[[], int]) -> None:
        self._host, self._clock = host, clock
        self._gen = 0
        self._done: set[Waiting] = set()
        self._told: set[tuple[Waiting, bytes]] = set()
        self._reading: Reading | None = None
        self._waiting: Sequence[Waiting] = ()
        self._looked_ns = -LOOK_EVERY_NS
        self._looks = 0

    def turn(self, conn: Conn, inc: bytes | None) -> bool:
        """Set the bits of one part, and say which imports are whole. True: there is more."""
        self._same_generation()
        if self._reading is None and not self._begin(conn, inc):
            return False
        self._step(conn)
        return True

    def complete(self, conn: Conn, flip: Flip) -> bool:
        """Whether every row of it is in the filter; each call brings that nearer by a part."""
        self._same_generation()
        wanted = Waiting(flip.number, flip.digest)
        if wanted in self._done:
            return True
        if self._reading is None or self._reading.number != flip.number:
            self._reading = Reading(flip.number)
        if self._step(conn) and wanted not in self._done:
            raise LedgerFault(f"the rows of import {flip.number} are not those that its entry names: they were altered")
        return wanted in self._done

    def _same_generation(self) -> None:
        now = self._host.now
        gen = 0 if now is None else now.identity.gen
        if gen != self._gen:
            self._gen, self._reading = gen, None
            self._done.clear()

    def _begin(self, conn: Conn, inc: bytes | None) -> bool:
        """Look which imports wait. True: one of them is to be read."""
        now = self._clock()
        if now - self._looked_ns < LOOK_EVERY_NS:
            return False
        self._looked_ns = now
        self._waiting = import_reading.WAITING.run(conn)
        self._looks += 1
        if self._told and self._looks % FORGET_EVERY == 0:
            import_reading.FORGET.run(conn)
        for waiting in self._waiting:
            if waiting not in self._done:
                self._reading = Reading(waiting.number)
                return True
            if inc is not None and (waiting, inc) not in self._told:
                facts = {"number": waiting.number, "inc": inc, "digest": waiting.digest}
                import_reading.CONFIRM.run(conn, facts)
                self._told.add((waiting, inc))
        return False

    def _step(self, conn: Conn) -> bool:
        """True: that was the last part."""
        reading, now = self._reading, self._host.now
        if reading is None or now is None:
            return False
        rows = reading.next(conn)
        if rows is not None:
            now.add_many(staged.joined_keys(rows))
            return False
        self._done.add(Waiting(reading.number, reading.digest))
        self._reading = None
        self._looked_ns = -LOOK_EVERY_NS
        return True
