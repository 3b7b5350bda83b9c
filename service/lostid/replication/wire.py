"""The replica's one connection to the ledger. It is closed on any doubt, and no call on it lasts for ever."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Protocol

from lostid.ledger import entries, pool
from lostid.ledger.errors import LedgerError
from lostid.ledger.statement import Conn

PATIENCE_S = 10.0
"""Longer than any honest commit takes. A primary that waits for a lost standby never replies: look elsewhere then."""


class HasFileno(Protocol):
    def fileno(self) -> int: ...


class Wire:
    """Connects when asked for a connection; forgets one on which something went wrong."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._conn: Conn | None = None
        signal.signal(signal.SIGALRM, self._cut)

    @contextlib.contextmanager
    def call(self, seconds: float = PATIENCE_S) -> Iterator[Conn]:
        """A connection for some statements. Whatever LedgerError comes out of the block closes it.

        When the time is over the socket is shut down, not the statement cancelled: a cancelled commit may pass for a
        done one, a connection that broke never does.
        """
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            if self._conn is None or self._conn.closed:
                self._conn = pool.connect(self._dsn, name="lostid-replica")
                pool.listen(self._conn, entries.CHANNEL)
            yield self._conn
        except LedgerError:
            self.close()
            raise
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def wait(self, seconds: float, others: Iterable[HasFileno | int] = ()) -> None:
        """Until the ledger notifies, one of the others is readable, or the time is over. Then look at everything."""
        ends: list[HasFileno | int] = list(others)
        if self._conn is not None and not self._conn.closed:
            with self.call() as conn:
                if pool.wait(conn, 0):
                    return
            ends.append(conn)
        select.select(ends, [], [], max(0.0, seconds))

    def close(self) -> None:
        if self._conn is not None:
            self._conn.close()
        self._conn = None

    def _cut(self, signum: int, frame: FrameType | None) -> None:
        if self._conn is not None and not self._conn.closed:
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self._conn.fileno())) as wire:
                wire.shutdown(socket.SHUT_RDWR)
