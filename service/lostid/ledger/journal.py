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
from collections.abc import Callable
from typing import Final, Protocol, Self, TypeVar

from lostid.ledger.care import RANGE_LINES, SUMMARISE, care
from lostid.ledger.errors import LedgerDown, LedgerError, LedgerFault, translated
from lostid.ledger.lines import COPY, HEADER, TRAILER, Line, Lines, packed, packed_batch
from lostid.ledger.pool import aconnect
from lostid.ledger.statement import AsyncConn

log = logging.getLogger(__name__)

_BATCH: Final = 8_000  # one transaction, whose cost to the ledger is shared by its lines
_OPEN_S: Final = 0.25  # of a transaction, or until there is a batch
_SPREAD_S: Final = 0.02
_AT_ONCE: Final = 500
_RETRY_S: Final = 0.5
_CARE_EVERY_S: Final = 3600.0
_CLOSE_S: Final = 2.0


T = TypeVar("T", Line, Lines)


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
        self._queue: list[bytes] = []
        self._sizes: list[int] = []  # lines in each of them
        self._waiting = 0  # lines in the queue and in the transaction that is open
        self._unsummarised = 0  # written since the index was last brought up to them
        self._some = asyncio.Event()
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
        return self._keep(packed, line, 1)

    def put_all(self, lines: Lines) -> bool:
        """The lines of a batch, one at least. False: there was room for the first of them only, or for none; the others
        are lost and counted."""
        wanted, room = len(lines.items), max(0, self._capacity - self._waiting)
        if wanted <= room:
            return self._keep(packed_batch, lines, wanted)
        self._lose(wanted - room)
        if room:
            self._keep(packed_batch, lines._replace(items=lines.items[:room]), room)
        return False

    def _keep(self, pack: Callable[[T], bytes], lines: T, count: int) -> bool:
        try:
            rows = pack(lines)
        except (ValueError, struct.error) as fault:
            log.error("the journal lost %d lines: %s", count, fault)
            self._lose(count)
            return False
        self._queue.append(rows)
        self._sizes.append(count)
        if not self._waiting:
            self._some.set()
            self._idle.clear()
        self._waiting += count
        return True

    @property
    def waiting(self) -> int:
        return self._waiting

    async def flush(self, timeout_s: float) -> bool:
        """Whether everything put before is committed (or counted as lost) now. For shutdown and tests."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        return not self._waiting

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
        self._sizes.clear()
        self._waiting = 0
        await self._hang_up()

    def _lose(self, lines: int) -> None:
        self.lost += lines
        self._tally[1] += lines

    async def _run(self) -> None:
        troubled = False
        while True:
            try:
                conn = await self._connected()
                while self._queue:
                    await self._transact(conn)
                    conn = await self._connected()
                troubled = False
            except LedgerError as error:
                if not troubled:
                    log.warning("the journal waits for the ledger: %s (%d lines so far)", error, self._waiting)
                troubled = True
                await self._hang_up()
                await asyncio.sleep(_RETRY_S)
                continue
            self._some.clear()
            self._idle.set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._some.wait(), _CARE_EVERY_S)

    async def _transact(self, conn: AsyncConn) -> None:
        """One transaction: all that it takes from the queue, or nothing."""
        taken: list[tuple[bytes, int]] = []
        try:
            await self._copy(conn, taken)
        except LedgerFault as fault:
            if not taken:
                raise  # it is not for what the lines say
            # Sending it again would not mend it, and would hold up all that follow.
            lines = _lines(taken)
            log.error("the journal lost %d lines: %s", lines, fault)
            self._lose(lines)
        except LedgerError:
            self._queue[:0], self._sizes[:0] = zip(*taken, strict=True) if taken else ((), ())
            raise
        else:
            lines = _lines(taken)
            self.written += lines
            self._tally[0] += lines
        self._waiting -= lines
        self._unsummarised += lines
        if self._unsummarised >= RANGE_LINES:
            self._unsummarised = 0
            with contextlib.suppress(LedgerDown):  # then it is done later
                await SUMMARISE.arun(conn)

    async def _copy(self, conn: AsyncConn, taken: list[tuple[bytes, int]]) -> None:
        """What waits, and what comes as long as the transaction is open: a little at a time, for whoever answers checks
        on the ledger's core would stand still while it works off a quarter of a second at once."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _OPEN_S
        with translated(writing=True):
            async with conn.cursor() as cursor, cursor.copy(COPY) as copy:
                await copy.write(HEADER)
                while _lines(taken) < _BATCH:
                    if self._queue:
                        taken.append(self._take())
                        await copy.write(taken[-1][0])
                        await asyncio.sleep(0)
                    elif loop.time() < until:
                        await asyncio.sleep(_SPREAD_S)
                    else:
                        break
                await copy.write(TRAILER)

    def _take(self) -> tuple[bytes, int]:
        """So many lines from the beginning of the queue, or more by less than a batch. More if more waits."""
        wanted = max(_AT_ONCE, self._waiting // 8)
        pieces = lines = 0
        for size in self._sizes:
            pieces += 1
            lines += size
            if lines >= wanted:
                break
        rows = b"".join(self._queue[:pieces])
        del self._queue[:pieces], self._sizes[:pieces]
        return rows, lines

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


def _lines(taken: list[tuple[bytes, int]]) -> int:
    return sum(lines for _, lines in taken)
