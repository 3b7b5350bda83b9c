"""The workers' part in imports that were withdrawn before their release: whoever is free clears a part away."""

from __future__ import annotations

import asyncio

from lostid.api import logs, meters
from lostid.api.parts import Parts
from lostid.ledger.errors import LedgerError
from lostid.ledger.import_clearing import clear

LOOK_EVERY_S = 10.0
PAUSE_S = 0.02


async def watch(parts: Parts) -> None:
    """For as long as the worker lives."""
    while True:
        more = False
        try:
            more = await parts.reads_pool.write(clear)
        except LedgerError:
            pass  # away: it is done later
        except Exception as error:  # this must go on
            parts.meters.add(meters.ERROR_TASK)
            logs.unexpected("imports", error)
        await asyncio.sleep(PAUSE_S if more else LOOK_EVERY_S)
