"""What the tests of this room put into Redis: packed records of made-up document keys, and chains of made-up hashes."""

from collections.abc import Iterable, Mapping
from hashlib import sha256

import redis

from lostid.domain.covers import Cover, CoverKind
from lostid.domain.packed import pack
from lostid.domain.position import Position
from lostid.domain.record import Record
from lostid.registry.buckets import Layout
from lostid.registry.filling import Filler
from lostid.registry.writer import Line, Writer

TAG_KEY = bytes(range(32))
LAYOUT = Layout(8)


def key(number: int) -> bytes:
    return sha256(b"key %d" % number).digest()[:16]


def hash_of(seq: int, branch: str = "") -> bytes:
    return sha256(f"{branch} {seq}".encode()).digest()


def at(seq: int, branch: str = "") -> Position:
    return Position(seq, hash_of(seq, branch))


def record(through: int) -> Record:
    """In force: every card up to the day `through`."""
    cover = Cover(CoverKind.THROUGH, through, None, final=False, open_ended=False, reason="lost", effective_at_ms=0)
    return Record((("rpt_1", cover),))


def value(number: int, seq: int, through: int = 9_000) -> bytes:
    packed = pack(record(through), seq, key(number), TAG_KEY)
    assert packed is not None
    return packed


def line(seq: int, records: Mapping[int, bytes | None], branch: str = "") -> Line:
    """Entry `seq` of a chain, after which these numbers have these records."""
    return Line(seq, hash_of(seq - 1, branch), hash_of(seq, branch), {key(n): v for n, v in records.items()})


def filled(writer: Writer, position: Position, numbers: Iterable[int] = (), layout: Layout = LAYOUT) -> None:
    """Fill the registry with a record for each number, as a relay would."""
    nonce = writer.wipe(writer.head(), layout, 0)
    assert nonce is not None
    filler = Filler(writer.client, nonce, layout)
    filler.sweep()
    records = sorted((key(number), value(number, position.seq)) for number in numbers)
    filler.fill([(0, records)])
    filler.finish(position)


def everything(writer: Writer) -> dict[bytes, object]:
    """All that this server holds, comparable."""
    client = writer.client
    found: dict[bytes, object] = {}
    for name in client.keys("*"):
        assert isinstance(name, bytes)
        found[name] = client.hgetall(name) if client.type(name) == b"hash" else client.dump(name)
    return found


def place(writer: Writer, number: int) -> tuple[bytes, bytes]:
    """Bucket and field of a number's record, as the registry is laid out now."""
    layout = Layout(writer.head().bits)
    return layout.bucket(key(number)), layout.field(key(number))


def stored(writer: Writer, number: int) -> bytes | None:
    got = writer.client.hget(*place(writer, number))
    assert got is None or isinstance(got, bytes)
    return got


def flush(client: redis.Redis) -> None:
    """Empty at once: by default the server frees what was there in its own time, and the next test would see it."""
    client.execute_command("FLUSHALL", "SYNC")  # type: ignore[no-untyped-call]
