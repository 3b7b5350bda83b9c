"""Connections to the ledger, and what is true of each: on the primary, autocommit, synchronous_commit at least on.

A worker has two small pools: reads that checks wait for are never queued behind writes that wait for a standby.
"""

from __future__ import annotations

import asyncio
import select
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from lostid.ledger.errors import LedgerDown, translated
from lostid.ledger.statement import AsyncConn, Conn, Statement, nothing, watch_warnings

T = TypeVar("T")
P = ParamSpec("P")

# What the DSN says itself comes first. A peer that vanished without a word is noticed in seconds, not in two hours.
_DEFAULTS: Final[dict[str, Any]] = {
    "connect_timeout": 3,
    "target_session_attrs": "read-write",
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
# A statement timeout strikes before the commit or not at all (PostgreSQL disarms it first), so it leaves no doubt. It
# does not strike while a COPY waits for its client: one that vanished is noticed by the server's own keepalives.
_SESSION = Statement(
    """
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') <> 'remote_apply'
     UNION ALL
    SELECT set_config(name, value, false)
      FROM (VALUES ('lock_timeout', '3s'), ('statement_timeout', %(statement_timeout)s), ('TimeZone', 'UTC'),
                   ('idle_in_transaction_session_timeout', '30s'), ('client_min_messages', 'warning'),
                   ('tcp_keepalives_idle', '5'), ('tcp_keepalives_interval', '2'), ('tcp_keepalives_count', '3')
           ) s (name, value)
    """,
    nothing,
)
_KWARGS: Final[dict[str, Any]] = {"autocommit": True, "prepare_threshold": 2}
_READ_TIMEOUT: Final = "2s"
_WRITE_TIMEOUT: Final = "10s"
# The pool's own patience doubles its pauses; giving up early instead makes the next taker try again at once.
_RECONNECT_S: Final = 1.0
_TAKE_READER_S: Final = 1.0
_TAKE_WRITER_S: Final = 3.0
_DRAIN_S: Final = 5.0
_TRUSTED_S: Final = 1.0


class WriterConn(psycopg.AsyncConnection[TupleRow]):
    """A connection whose statement, once sent, is never cancelled: a cancelled commit is acknowledged but may be lost.

    psycopg would cancel when its task is cancelled; here it waits five seconds for the end and then closes."""

    used_s: float = 0.0

    async def cancel_safe(self, *, timeout: float = 30.0) -> None:
        pass


class LedgerPool:
    """The workers' way to the ledger."""

    def __init__(self, dsn: str, name: str, reads: int, writes: int) -> None:
        conninfo = _conninfo(dsn, name)
        self._reads: AsyncConnectionPool[AsyncConn] = AsyncConnectionPool(
            conninfo, min_size=1, max_size=reads, timeout=_TAKE_READER_S, open=False, name=f"{name}-reads",
            kwargs=_KWARGS, configure=_configure_reader, max_idle=600, reconnect_timeout=_RECONNECT_S,
        )  # fmt: skip
        self._writes: AsyncConnectionPool[WriterConn] = AsyncConnectionPool(
            conninfo, min_size=1, max_size=writes, timeout=_TAKE_WRITER_S, open=False, name=f"{name}-writes",
            kwargs=_KWARGS, configure=_configure_writer, max_idle=600, reconnect_timeout=_RECONNECT_S,
            connection_class=WriterConn, check=_check_writer,
        )  # fmt: skip
        self._writing: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        await self._reads.open(wait=False)
        await self._writes.open(wait=False)

    async def read(
        self, work: Callable[Concatenate[AsyncConn, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """`work` on a connection of the reading pool; once more where that connection turned out to be dead."""
        async with self.reading() as conn:
            try:
                return await work(conn, *args, **kwargs)
            except LedgerDown:
                if not conn.closed:
                    raise
        with translated(writing=False):
            await self._reads.check()
        async with self.reading() as conn:
            return await work(conn, *args, **kwargs)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConn]:
        """A connection for several looks (the fence)."""
        with translated(writing=False):
            async with self._reads.connection() as conn:
                yield conn

    async def write(
        self, work: Callable[Concatenate[AsyncConn, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """`work` in a task of its own, which runs to its end even if the caller is cancelled (an HTTP disconnect)."""
        task = asyncio.create_task(self._write(work, *args, **kwargs))
        self._writing.add(task)
        task.add_done_callback(self._written)
        return await asyncio.shield(task)

    async def _write(
        self, work: Callable[Concatenate[AsyncConn, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        with translated(writing=True):
            async with self._writes.connection() as conn:
                try:
                    return await work(conn, *args, **kwargs)
                finally:
                    conn.used_s = time.monotonic()

    def _written(self, task: asyncio.Task[Any]) -> None:
        self._writing.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, so that nobody complains where the caller had gone

    async def close(self) -> None:
        """Waits for writes under way, up to five seconds."""
        if self._writing:
            await asyncio.wait(self._writing, timeout=_DRAIN_S)
        await self._reads.close()
        await self._writes.close()


async def open_pool(dsn: str, *, name: str = "lostid-api", reads: int = 2, writes: int = 4) -> LedgerPool:
    """Opens without waiting for the ledger: a worker may start while it is away."""
    pool = LedgerPool(dsn, name, reads, writes)
    await pool.open()
    return pool


def connect(dsn: str, *, name: str, statement_timeout: str = _WRITE_TIMEOUT) -> Conn:
    """A plain connection for the replica, the relay and the start of a server. Raises LedgerDown."""
    with translated(writing=False):
        conn = psycopg.connect(_conninfo(dsn, name), **_KWARGS)
    watch_warnings(conn)
    _SESSION.run(conn, {"statement_timeout": statement_timeout})
    return conn


async def aconnect(dsn: str, *, name: str, statement_timeout: str = _WRITE_TIMEOUT) -> AsyncConn:
    """The same for the command line and the journal."""
    with translated(writing=False):
        conn = await WriterConn.connect(_conninfo(dsn, name), **_KWARGS)
    await _configure(conn, statement_timeout)
    return conn


async def _configure(conn: AsyncConn, statement_timeout: str) -> None:
    watch_warnings(conn)
    await _SESSION.arun(conn, {"statement_timeout": statement_timeout})


async def _check_writer(conn: WriterConn) -> None:
    """A write on a connection that died unnoticed would end as "unknown". One whose server has ended it has something
    to read; one that vanished without a word is asked, unless it has just been used."""
    poll = select.poll()
    poll.register(conn.fileno(), select.POLLIN)
    if poll.poll(0) or time.monotonic() - conn.used_s > _TRUSTED_S:
        await AsyncConnectionPool.check_connection(conn)


async def _configure_reader(conn: AsyncConn) -> None:
    await _configure(conn, _READ_TIMEOUT)


async def _configure_writer(conn: AsyncConn) -> None:
    await _configure(conn, _WRITE_TIMEOUT)


def _conninfo(dsn: str, name: str) -> str:
    told = conninfo_to_dict(dsn)
    defaults = {option: value for option, value in _DEFAULTS.items() if option not in told}
    return make_conninfo(dsn, **defaults, application_name=name)


def listen(conn: Conn, channel: str) -> None:
    """NOTIFYs that arrive while statements run are kept for `wait`."""
    with translated(writing=False):
        conn.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))


def wait(conn: Conn, timeout_s: float) -> bool:
    """Until somebody notifies (True) or the time is over. A wake-up is only a hint: always look, also after False."""
    with translated(writing=False):
        return any(True for _ in conn.notifies(timeout=timeout_s, stop_after=1))
