"""Connections to the ledger, and what is true of each: on the primary, autocommit, synchronous_commit on.

Two small pools for a worker: reads that checks wait for are never queued behind writes that wait for a standby.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from lostid.ledger.statement import AsyncConn, Conn

T = TypeVar("T")


class LedgerPool:
    """The workers' way to the ledger."""

    async def read(self, work: Callable[[AsyncConn], Awaitable[T]]) -> T:
        """`work` on a connection of the reading pool. Repeated once where the connection turns out to be dead."""
        raise NotImplementedError

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConn]:
        """A connection for several looks (the fence)."""
        raise NotImplementedError
        yield

    async def write(self, work: Callable[[AsyncConn], Awaitable[T]]) -> T:
        """`work` in a task of its own, which runs to its end even if the caller is cancelled (an HTTP disconnect)."""
        raise NotImplementedError

    async def close(self) -> None:
        """Waits for writes under way, up to five seconds."""
        raise NotImplementedError


async def open_pool(dsn: str, *, name: str = "lostid-api", reads: int = 2, writes: int = 4) -> LedgerPool:
    """Opens without waiting for the ledger: a worker may start while it is away."""
    raise NotImplementedError


def connect(dsn: str, *, name: str) -> Conn:
    """A plain connection for the replica, the relay and the start of a server. Raises LedgerDown."""
    raise NotImplementedError


async def aconnect(dsn: str, *, name: str) -> AsyncConn:
    """The same for the command line and the journal."""
    raise NotImplementedError


def listen(conn: Conn, channel: str) -> None:
    raise NotImplementedError


def wait(conn: Conn, timeout_s: float) -> bool:
    """Until somebody notifies (True) or the time is over. A wake-up is a hint: always look, even after False."""
    raise NotImplementedError
