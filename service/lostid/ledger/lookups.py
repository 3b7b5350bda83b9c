"""Search and history: rationed per operator and day, and journalled before they are answered."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from lostid.ledger.journal import Line
from lostid.ledger.statement import AsyncConn

DAILY_DOCUMENTS = 200


async def take(conn: AsyncConn, env: str, day: date, lines: Sequence[Line], limit: int = DAILY_DOCUMENTS) -> bool:
    """Count the documents of these lines against the operator's day and journal them: both, or (False) neither.

    The same document twice on a day counts once. All lines are of one operator of one organisation.
    """
    raise NotImplementedError
