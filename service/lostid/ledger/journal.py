"""The journal of checks: who asked about which document key, when, for what, with what answer.

Off the answer's path: `put` never waits and never fails. Lines go to the ledger in batches; a line that found the queue
full is counted in `lost`, never dropped in silence. After a break in the connection a line may stand twice (same id and
item), because a commit whose outcome is unknown is repeated.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    at_ms: int
    id: str
    item: int
    doc_key: bytes | None  # None: the number was refused
    key_id: str
    org: str
    operator: str
    purpose: str
    reference: str | None
    status: str  # a status, or "refused"
    seq: int


class JournalWriter:
    """One per worker, with a connection of its own. `async with JournalWriter(dsn) as journal: journal.put(line)`."""

    lost: int  # lines that found no room
    written: int  # lines committed

    def __init__(self, dsn: str, *, capacity: int = 20_000) -> None:
        raise NotImplementedError

    def put(self, line: Line) -> bool:
        """False: no room, the line is lost and counted."""
        raise NotImplementedError

    @property
    def waiting(self) -> int:
        raise NotImplementedError

    async def flush(self, timeout_s: float) -> bool:
        """Whether everything put before is committed now. For shutdown and tests."""
        raise NotImplementedError

    async def __aenter__(self) -> JournalWriter:
        raise NotImplementedError

    async def __aexit__(self, *exc: object) -> None:
        """Writes what it can within two seconds; the rest counts as lost."""
        raise NotImplementedError
