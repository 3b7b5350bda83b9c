"""The journal of checks: who asked about which document key, when, for what, with what answer.

Off the answer's path: `put` never waits and never fails. Lines go to the ledger in batches; a line that found the queue
full is counted in `lost`, never dropped in silence. After a break in the connection a line may stand twice (same id and
item), because a batch whose commit was not heard of is sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final, Protocol, Self

from lostid.ledger.care import care
from lostid.ledger.errors import LedgerError, LedgerFault, translated
from lostid.ledger.lines import COPY, HEADER, TRAILER, Line, Lines, packed, size
from lostid.ledger.pool import aconnect
from lostid.ledger.statement import AsyncConn

log = logging.getLogger(__name__)

_BATCH: Final = 8_000  # one transaction, whose cost to the ledger is shared by its lines
_PACKED_AT_ONCE: Final = 500  # in about half a millisecond: the event loop has other things to do
_GATHER_S: Final = 0.25  # or until there is a batch
_RETRY_S: Final = 0.5
_CARE_EVERY_S: Final = 3600.0
_CLOSE_S: Final = 2.0


class Tally(Protocol):
    """Two numbers that outlive the process: lines written, lines lost."""

    def __getitem__(self, place: int, /) -> int: ...
    def __setitem__(self, place: int, value: int, /) -> None: ...


class JournalWriter:
    """One per worker, with a connection of its own. `async with JournalWriter(dsn) as journal: journal.put(line)`."""

    def __init__(self, dsn: str, *, keep_days: int = 400, capacity: int = 40_000, tally: Tally | None = None) -> None:
        self.lost = 0  # lines that found no room, or that the ledger would not take
        self.written = 0  # lines committed
        self._tally: Tally = [0, 0] if tally is None else tally
        self._dsn = dsn
        self._keep_days = keep_days
        self._capacity = capacity
        self._queue: deque[Line | Lines] = deque()
        self._waiting = 0  # lines in it
        self._some = asyncio.Event()
        self._many = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._conn: AsyncConn | None = None
        self._care_at = 0.0
        self._task: asyncio.Task[None] | None = None

    def put(self, line: Line) -> bool:
        """False: no room, the line is lost and counted."""
        if self._waiting >= self._capacity:
            self._lose(1)
            return False
        self._append(line, 1)
        return True

    def put_all(self, lines: Lines) -> bool:
        """The lines of a batch, one at least. False: there was room for the first of them only, or for none; the others
        are lost and counted."""
        wanted, room = len(lines.items), max(0, self._capacity - self._waiting)
        if wanted <= room:
            self._append(lines, wanted)
            return True
        self._lose(wanted - room)
        if room:
            self._append(lines._replace(items=lines.items[:room]), room)
        return False

    def _append(self, lines: Line | Lines, count: int) -> None:
        self._queue.append(lines)
        if not self._waiting:
            self._some.set()
            self._idle.clear()
        self._waiting += count
        if self._waiting >= _BATCH:
            self._many.set()

    @property
    def waiting(self) -> int:
        return self._waiting

    async def flush(self, timeout_s: float) -> bool:
        """Whether everything put before is committed (or counted as lost) now. For shutdown and tests."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        return not self._queue

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="lostid-journal")
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Writes what it can within two seconds; the rest counts as lost."""
        await self.flush(_CLOSE_S)
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._lose(self._waiting)
        self._queue.clear()
        self._waiting = 0
        await self._hang_up()

    def _lose(self, lines: int) -> None:
        self.lost += lines
        self._tally[1] += lines

    async def _run(self) -> None:
        troubled = False
        while True:
            try:
                await self._drain()
                troubled = False
            except LedgerError as error:
                if not troubled:
                    log.warning("the journal waits for the ledger: %s (%d lines so far)", error, self._waiting)
                troubled = True
                await self._hang_up()
                await asyncio.sleep(_RETRY_S)
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._some.wait(), _CARE_EVERY_S)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._many.wait(), _GATHER_S)

    async def _drain(self) -> None:
        conn = await self._connected()
        while self._queue:
            batch = next(_portions(self._queue, _BATCH))
            lines = sum(map(size, batch))
            try:
                await _copy(conn, batch)
                self.written += lines
                self._tally[0] += lines
            except (LedgerFault, ValueError, struct.error) as fault:
                # Sending it again would not mend it, and would hold up all that follow.
                log.error("the journal lost %d lines: %s", lines, fault)
                self._lose(lines)
            for _ in batch:
                self._queue.popleft()
            self._waiting -= lines
        self._some.clear()
        self._many.clear()
        self._idle.set()

    async def _connected(self) -> AsyncConn:
        now = asyncio.get_running_loop().time()
        if self._conn is None:
            self._conn = await aconnect(self._dsn, name="lostid-journal")
            self._care_at = now
        if now >= self._care_at:
            await care(self._conn, self._keep_days)
            self._care_at = now + _CARE_EVERY_S
        return self._conn

    async def _hang_up(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None:
            with contextlib.suppress(LedgerError), translated(writing=False):
                await conn.close()


def _portions(queue: Iterable[Line | Lines], lines: int) -> Iterator[list[Line | Lines]]:
    """So many lines at a time, or more by less than a batch."""
    portion: list[Line | Lines] = []
    held = 0
    for each in queue:
        portion.append(each)
        held += size(each)
        if held >= lines:
            yield portion
            portion, held = [], 0
    if portion:
        yield portion


async def _copy(conn: AsyncConn, batch: list[Line | Lines]) -> None:
    """One transaction: all of the batch or nothing."""
    with translated(writing=True):
        async with conn.cursor() as cursor, cursor.copy(COPY) as copy:
            await copy.write(HEADER)
            for portion in _portions(batch, _PACKED_AT_ONCE):
                await copy.write(packed(portion))
                await asyncio.sleep(0)
            await copy.write(TRAILER)
