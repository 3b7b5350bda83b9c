"""What a record costs."""

import random
from collections.abc import Iterator

from lostid.registry.buckets import layout_for
from lostid.registry.filling import Filler
from lostid.registry.writer import Writer
from tests.registry.making import at, flush, value

COUNT = 1_000_000
CHUNK = 10_000


def records() -> Iterator[tuple[int, list[tuple[bytes, bytes]]]]:
    """Document keys in order, each with bytes of a packed record's length; entries were appended in another order."""
    choose = random.Random(4)
    spread = 2**64 // COUNT
    longest = len(value(1, COUNT))
    for start in range(0, COUNT, CHUNK):
        chunk = []
        for number in range(start, start + CHUNK):
            key = (number * spread + choose.randrange(spread)).to_bytes(8, "big") + choose.randbytes(8)
            chunk.append((key, choose.randbytes(longest)))
        yield start, chunk


def test_bytes_per_record(writer: Writer) -> None:
    """A million records take at most 36 bytes each, all told: keys, tags, and what the server needs for them."""

    def used() -> int:
        return int(writer.client.info("memory")["used_memory"])

    before = used()
    layout = layout_for(COUNT)
    filler = Filler(writer.client, writer.wipe(writer.head(), layout, COUNT) or "", layout)
    filler.fill(records())
    filler.finish(at(COUNT))
    assert writer.head().count == COUNT
    assert (used() - before) / COUNT <= 36
    flush(writer.client)
