"""Filling the registry anew: sweep what is left, stream every record in the order of its key, head last.

Every step names the filler's nonce and its own number. A second wipe stops the first's fill; a failover that lost some
steps stops it as well, for the next step's number then does not fit. Nothing is believed before the head is back.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

import redis

from lostid.domain.position import Position
from lostid.registry.buckets import Layout
from lostid.registry.keys import BUCKET, CHAIN, HEAD
from lostid.registry.scripts import Name
from lostid.registry.wire import call, load

SWEEP_AT_ONCE: Final = 1_000
FILL_AT_ONCE: Final = 2_000
"""Records in a step. A step holds the server for 1 to 2 ms; meanwhile the next is put together."""
BUCKET_AT_ONCE: Final = 1_000
"""Records of one bucket in one HSET (Lua unpacks no more than 8,000 values)."""

Records = Iterable[tuple[bytes, bytes]]


class Overtaken(Exception):
    """The fill is another's by now, or steps of it were lost. Look at the head again."""


class Filler:
    """The steps of one fill, on a connection of its own. ``done`` counts as the caller likes; it is shown to people."""

    def __init__(self, client: redis.Redis, nonce: str, layout: Layout) -> None:
        self._client = client
        self._nonce = nonce.encode()
        self._layout = layout
        self._step = 0

    def sweep(self) -> None:
        """Take away every bucket of the registry that was. Records of it under a new head would be believed."""
        buckets = self._client.scan_iter(match=BUCKET + b"*", count=SWEEP_AT_ONCE)
        with _Line(self._client) as line:
            while victims := list(islice(buckets, SWEEP_AT_ONCE)):
                line.send(Name.SWEEP, [HEAD, *victims], self._take_step())
            line.settle()

    def fill(self, chunks: Iterable[tuple[int, Records]]) -> None:
        """Write the records of each chunk; they come in the order of their keys. With each chunk: what is then done."""
        with _Line(self._client) as line:
            for done, records in chunks:
                for keys, args in steps(records, self._layout):
                    line.send(Name.FILL, [HEAD, *keys], [*self._take_step(), b"%d" % done, *args])
            line.settle()

    def finish(self, at: Position) -> None:
        """The records are those at this position: give the head back."""
        with _Line(self._client) as line:
            line.send(Name.FINISH, [HEAD, CHAIN], [*self._take_step(), b"%d" % at.seq, at.hash])
            line.settle()

    def _take_step(self) -> list[bytes]:
        step, self._step = self._step, self._step + 1
        return [self._nonce, b"%d" % step]


def steps(records: Records, layout: Layout) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """Keys and arguments of fill steps: the records of one bucket lie together, because they come in order."""
    keys: list[bytes] = []
    args: list[bytes] = []
    pairs: list[bytes] = []
    bucket, held = b"", 0
    field, last = slice(*layout.field_bounds), b""
    for key, value in records:
        if key > last or len(pairs) >= 2 * BUCKET_AT_ONCE:
            if pairs:
                keys.append(bucket)
                args += (b"%d" % (len(pairs) // 2), *pairs)
                held, pairs = held + len(pairs) // 2, []
            if held >= FILL_AT_ONCE:
                yield keys, args
                keys, args, held = [], [], 0
            bucket, last = layout.bucket(key), layout.bounds(layout.index(key))[1]
        pairs += (key[field], value)
    if pairs:
        keys.append(bucket)
        args += (b"%d" % (len(pairs) // 2), *pairs)
    if keys:
        yield keys, args


class _Line:
    """A connection with one step under way while the next is prepared: both processors work."""

    def __init__(self, client: redis.Redis) -> None:
        self._pool = client.connection_pool
        self._connection: Any = self._pool.get_connection()  # half typed
        self._under_way = False
        self._known: set[Name] = set()

    def __enter__(self) -> "_Line":
        return self

    def __exit__(self, *_: object) -> None:
        if self._under_way:  # an answer is still to come: nobody else may get this connection
            self._connection.disconnect()
        self._pool.release(self._connection)

    def send(self, name: Name, keys: list[bytes], args: list[bytes]) -> None:
        """Send a step, once the one before it was taken."""
        self.settle()
        if name not in self._known:
            self._connection.send_packed_command([load(name)])
            self._connection.read_response()
            self._known.add(name)
        self._under_way = True
        self._connection.send_packed_command([call(name, keys, args)])

    def settle(self) -> None:
        """The step under way was taken, or Overtaken."""
        if self._under_way:
            self._under_way, reply = False, self._connection.read_response()
            if reply != 1:
                raise Overtaken
