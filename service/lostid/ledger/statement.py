"""A statement: SQL, and how its rows become the reply. Written once; run by workers (async) and shells (sync)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, LiteralString, TypeAlias, TypeVar
from weakref import WeakSet

import psycopg
from psycopg.rows import TupleRow

from lostid.ledger.errors import LedgerUnknown, translated

T = TypeVar("T")
Conn: TypeAlias = psycopg.Connection[TupleRow]
AsyncConn: TypeAlias = psycopg.AsyncConnection[TupleRow]
Rows: TypeAlias = Sequence[tuple[Any, ...]]
Params: TypeAlias = Mapping[str, Any]

# Connections on which the server warned since their last write. A commit whose wait for its standby was cancelled is
# *acknowledged*, with nothing but a WARNING to say that it may still be lost.
_warned: WeakSet[psycopg.BaseConnection[Any]] = WeakSet()


def watch_warnings(conn: psycopg.BaseConnection[Any]) -> None:
    """Part of every connection's setup: without it a cancelled commit passes for a done one."""

    def note(diagnostic: psycopg.errors.Diagnostic) -> None:
        if diagnostic.severity_nonlocalized == "WARNING":
            _warned.add(conn)

    conn.add_notice_handler(note)


@dataclass(frozen=True, slots=True)
class Statement(Generic[T]):
    """In autocommit mode one statement is one transaction: whatever it writes is committed when `run` returns."""

    sql: LiteralString
    decode: Callable[[Rows], T]
    writes: bool = False

    def run(self, conn: Conn, params: Params | None = None) -> T:
        with translated(writing=self.writes):
            _warned.discard(conn)
            cursor = conn.execute(self.sql, params)
            rows: Rows = cursor.fetchall() if cursor.description is not None else ()
            if self.writes and conn in _warned:
                conn.close()
                raise LedgerUnknown("the server warned about this commit")
        return self.decode(rows)

    async def arun(self, conn: AsyncConn, params: Params | None = None) -> T:
        with translated(writing=self.writes):
            _warned.discard(conn)
            cursor = await conn.execute(self.sql, params)
            rows: Rows = await cursor.fetchall() if cursor.description is not None else ()
            if self.writes and conn in _warned:
                await conn.close()
                raise LedgerUnknown("the server warned about this commit")
        return self.decode(rows)


def nothing(rows: Rows) -> None:
    """For statements without a reply."""


def done(rows: Rows) -> bool:
    """Whether the statement touched (returned) a row."""
    return bool(rows)


@asynccontextmanager
async def committing(conn: AsyncConn) -> AsyncIterator[None]:
    """A transaction of several statements. When the block is left its commit has been heard of, without a warning."""
    with translated(writing=True):
        async with conn.transaction():
            yield
            _warned.discard(conn)
        if conn in _warned:
            await conn.close()
            raise LedgerUnknown("the server warned about this commit")
