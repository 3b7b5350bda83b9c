"""The steps by which the registry moves, each one script: append, wipe, repair. Filling is in ``filling``.

Synchronous, for the relay. Whatever is asked, a step acts only if the head is what the caller believes it to be.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import redis

from lostid.domain.position import Position
from lostid.registry.buckets import Layout
from lostid.registry.head import SORTING, Head, read_head
from lostid.registry.keys import CHAIN, CHAIN_KEPT, DOUBT, FORMAT, HEAD
from lostid.registry.scripts import Name, script

Arg = bytes | str | int


@dataclass(frozen=True, slots=True)
class Line:
    """An entry as the registry needs it: its place in the chain, and the packed records of all its document keys as
    they are after it (None: nothing in force)."""

    seq: int
    prev: bytes
    hash: bytes
    records: Mapping[bytes, bytes | None]


class Writer:
    """The steps on one server."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def head(self) -> Head:
        return read_head(self.client)

    def append(self, lines: Sequence[Line], layout: Layout) -> int:
        """Append entries one after the other, in one round trip. One that does not continue the head changes nothing.
        How many were taken up to the first such; after fewer than all look at the head again (another relay may have
        been faster)."""
        pipe = self.client.pipeline(transaction=False)
        for line in lines:
            self._queue(pipe, Name.APPEND, *append_call(line, layout))
        replies = pipe.execute(raise_on_error=False)
        for taken, reply in enumerate(replies):
            if isinstance(reply, redis.exceptions.NoScriptError):
                self.client.script_load(script(Name.APPEND).text)
                return taken + self.append(lines[taken:], layout)
            if isinstance(reply, Exception):
                raise reply
            if reply != 1:
                return taken
        return len(lines)

    def wipe(self, seen: Head, layout: Layout, total: int) -> str | None:
        """Take the head away if it still is as ``seen``, and become the filler: the nonce of the fill, or None."""
        nonce = secrets.token_hex(8)
        says: list[Arg] = ["format", FORMAT, "bits", layout.bits, "done", 0, "total", total]
        taken = self.run(Name.WIPE, [HEAD, CHAIN, DOUBT], [*seen.seen, nonce, *says])
        return nonce if taken == 1 else None

    def sorting(self, documents: int) -> None:
        """Say, for people, that a fill with so many documents (0: not counted yet) is being prepared. Nothing follows
        from it; the fill's wipe takes it away."""
        with suppress(redis.ResponseError):  # what stands there is not ours
            self.client.hset(HEAD, SORTING.decode(), str(documents))

    def doubted(self, limit: int = 100) -> list[bytes]:
        """Some document keys whose records readers could not believe. Each is handed out once."""
        return cast(list[bytes], self.client.spop(DOUBT, limit))

    def repair(self, at: Position, layout: Layout, key: bytes, value: bytes | None) -> bool:
        """Make a record what the ledger says at ``at``. Whether there was something to mend."""
        return self.mend(at, layout, layout.index(key), layout.field(key), value)

    def mend(self, at: Position, layout: Layout, bucket: int, field: bytes, value: bytes | None) -> bool:
        """The same for any field of a bucket, also one that is no document key's."""
        args: list[Arg] = [at.seq, at.hash, layout.bits, field, value or b""]
        return bool(self.run(Name.REPAIR, [HEAD, layout.name(bucket)], args) == 2)

    def drop(self, at: Position, layout: Layout, nonce: str, step: int, keys: Sequence[bytes]) -> bool:
        """Take these records out: the next step of one caller, who is to bring the head over a flip. False: begin
        anew, after a look at the head."""
        fields = b"".join(map(layout.field, keys))
        args: list[Arg] = [at.seq, at.hash, layout.bits, nonce, step, fields]
        return bool(self.run(Name.DROP, [HEAD, *map(layout.bucket, keys)], args) == 1)

    def flip(self, line: Line, layout: Layout, nonce: str, steps: int, number: int) -> bool:
        """Append an entry about a whole import, all of whose records were dropped in so many steps."""
        at: list[Arg] = [line.seq - 1, line.prev, line.seq, line.hash, layout.bits, line.seq - CHAIN_KEPT]
        return bool(self.run(Name.FLIP, [HEAD, CHAIN], [*at, nonce, steps, number]) == 1)

    def settle(self) -> None:
        """No entry about an import waits: whoever was dropping records has died, or will begin anew."""
        self.client.hdel(HEAD, "drop")

    def bring(
        self, at: Position, layout: Layout, number: int, part: int | None, records: Mapping[bytes, bytes]
    ) -> bool:
        """Put records of an import in, as they are at the head; up to which part they then are all back, None for the
        end. False: the head is another."""
        args: list[Arg] = [at.seq, at.hash, layout.bits, number, "" if part is None else part]
        for key, value in records.items():
            args += (layout.field(key), value)
        return bool(self.run(Name.BRING, [HEAD, *map(layout.bucket, records)], args) == 1)

    def run(self, name: Name, keys: Iterable[bytes], args: Iterable[Arg]) -> Any:
        """One script, whether the server knows it already or not (it forgets with every restart and failover)."""
        keys, args = list(keys), list(args)
        try:
            return self.client.evalsha(script(name).sha, len(keys), *keys, *args)
        except redis.exceptions.NoScriptError:
            return self.client.eval(script(name).text, len(keys), *keys, *args)

    @staticmethod
    def _queue(pipe: Any, name: Name, keys: Sequence[bytes], args: Sequence[Arg]) -> None:
        pipe.evalsha(script(name).sha, len(keys), *keys, *args)


def append_call(line: Line, layout: Layout) -> tuple[list[bytes], list[Arg]]:
    """Keys and arguments of the append script for one entry."""
    keys = [HEAD, CHAIN]
    args: list[Arg] = [line.seq - 1, line.prev, line.seq, line.hash, layout.bits, line.seq - CHAIN_KEPT]
    for key, value in line.records.items():
        keys.append(layout.bucket(key))
        args += (layout.field(key), value or b"")
    return keys, args


def request_rebuild(client: redis.Redis) -> None:
    """Take the head and every proof away: any relay then fills the registry anew from the ledger. Until it has, the
    ledger answers. A fill under way stops."""
    client.unlink(HEAD, CHAIN)
