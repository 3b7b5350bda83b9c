"""Reports whose writer died between entry and answer: in force all the same, and noted as such.

Any number of workers may do it at once. Their callers, if they ask again, get their receipt as if nothing had been."""

from __future__ import annotations

import asyncio

from lostid.api import logs, meters
from lostid.ledger import reports
from lostid.ledger.errors import LedgerError
from lostid.ledger.pool import LedgerPool
from lostid.replication.rules import TERMS

EVERY_S = 5.0
WAIT_S = TERMS.wait_ns / 1e9 * 1.1 + 0.5  # L_w on this host's clock, whatever its rate


async def settle_forgotten(pool: LedgerPool, meter: meters.Meters) -> None:
    """For as long as the worker lives."""
    while True:
        await asyncio.sleep(EVERY_S)
        try:
            await settle_once(pool)
        except LedgerError:
            continue
        except Exception as error:  # this must go on
            meter.add(meters.ERROR_TASK)
            logs.unexpected("settling", error)


async def settle_once(pool: LedgerPool) -> int:
    """How many reports were noted. What is found unsettled is noted once every lease from before has ended."""
    seen = await pool.read(reports.unsettled)
    if not seen:
        return 0
    await asyncio.sleep(WAIT_S)
    settled = await pool.write(lambda conn: reports.settle(conn, seen))
    if settled:
        logs.line("reports.settled", count=settled)
    return settled
