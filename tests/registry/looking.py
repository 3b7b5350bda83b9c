"""A worker's way to records, as the tests of the exact lookup need it: its page, its ledger, its Redis."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from lostid.domain.instance import Instance
from lostid.domain.position import Position
from lostid.domain.record import NOTHING, Record
from lostid.domain.status import Status
from lostid.registry.client import open_async_client
from lostid.registry.lookup import Confirm, ExactLookup, Source
from lostid.registry.reader import Reader
from tests.registry.making import TAG_KEY, at, key


class Ledger:
    """Answers from a dictionary, as one that holds everything up to `head` would; notes what it was asked."""

    def __init__(self, records: Mapping[int, Record]) -> None:
        self.records = {key(number): record for number, record in records.items()}
        self.head = 1_000
        self.asked: list[list[bytes]] = []
        self.error: Exception | None = None

    async def confirm(self, keys: Sequence[bytes], reader: Position) -> Mapping[bytes, Record] | None:
        self.asked.append(list(keys))
        if self.error is not None:
            raise self.error
        if reader.seq > self.head or reader != at(reader.seq):
            return None
        return {asked: self.records.get(asked, NOTHING) for asked in keys}


class Worker:
    """`position` is what its page shows."""

    def __init__(self, reader: Reader, ledger: Ledger, confirm: Confirm) -> None:
        self.ledger = ledger
        self.position = at(1)
        self.reader = reader
        self.exact = ExactLookup(reader, confirm, lambda: self.position, TAG_KEY)

    async def look(self, *numbers: int, day: int = 9_000) -> list[tuple[Status, Source]]:
        """Status and source for a card issued on that day."""
        found = await self.exact.of([key(number) for number in numbers])
        return [(one.status(Instance(days=(day,))), one.source) for one in found]


@asynccontextmanager
async def worker(
    url: str, ledger: Ledger | None = None, confirm: Confirm | None = None, timeout: float = 5.0, rest: float = 0.01
) -> AsyncIterator[Worker]:
    """`confirm`: a real ledger's, in the place of the dictionary."""
    ledger = ledger or Ledger({})
    client = open_async_client(url)
    work = Worker(Reader(client, timeout, rest), ledger, confirm or ledger.confirm)
    try:
        yield work
    finally:
        await work.exact.close()
        await client.aclose()
