"""The sweep: all of Redis compared with the ledger, again and again (docs/decisions/0014).

What holds after each step: the books are at ``_at``, an entry of the ledger's chain, and were moved there by entries
alone. A bucket is passed over only if Redis's fingerprint of it is that of contents which had the right digest, and no
entry has changed a record of it since. What differs is an alarm first, and then made what the ledger says.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from itertools import islice
from random import SystemRandom
from typing import Final, NoReturn

import redis

from lostid.domain import staged
from lostid.domain.covers import Effect
from lostid.domain.packed import TamperedRecord, unpack
from lostid.domain.position import Position
from lostid.domain.staged import Flip
from lostid.ledger import covers, entries, import_reading, outline, sweeps
from lostid.ledger.statement import Conn
from lostid.registry import looks
from lostid.registry.buckets import OVERFULL, Layout
from lostid.registry.digest import PLACE_BYTES, SetDigest
from lostid.registry.writer import Writer, request_rebuild
from lostid.replication import records, total
from lostid.replication.apply import Reload, accept_batch
from lostid.replication.books import FINGERPRINT_BYTES, Books

EVERY_S: Final = 2.0
"""Seconds from the begin of a round to that of the next, at least."""
FOR_EACH_S: Final = 2.2e-6
"""And for each record. Its share in a fingerprint costs Redis 0.25 microseconds: so a ninth of its time at most."""
UNHURRIED: Final = 1_000_000
"""Records beyond so many are given twice the time: of a large registry the sweep takes an eighteenth of Redis."""
RECKONED: Final = 100_000
"""Rows of an import that are taken into the books one by one: some seconds of CPU."""
READ_AT_ONCE: Final = 4
"""Buckets that are read, and compared with the ledger, in a step: some 3 ms of our time, 0.2 of Redis's."""
_BATCH: Final = 64
_MOST: Final = 200
_TRIES: Final = 3

_random = SystemRandom()  # where we look next is nothing to be guessed
_log = logging.getLogger(__name__)


def planned_s(records: int) -> float:
    """How long a round over so many records is to take."""
    return max(EVERY_S, FOR_EACH_S * (records + max(0, records - UNHURRIED)))


def differing(joined: bytes, seen: bytes) -> Iterator[int]:
    """Which of some buckets have another fingerprint than when they were last right."""
    for number in range(len(seen) // FINGERPRINT_BYTES):
        part = slice(number * FINGERPRINT_BYTES, (number + 1) * FINGERPRINT_BYTES)
        if joined[part] != seen[part]:
            yield number


class Restart(Exception):
    """What was held no longer fits: Redis is empty, being filled, or laid out otherwise; or the ledger's chain is
    another. The next round begins from what is there then."""


class Sweeper:
    """One ledger connection, one Redis. ``keys``: of record tags, of the digest, of the kept total."""

    def __init__(self, conn: Conn, client: redis.Redis, keys: tuple[bytes, bytes, bytes]) -> None:
        self._conn = conn
        self._writer = Writer(client)
        self._tag_key, digest_key, self._total_key = keys
        self._digest = SetDigest(digest_key)
        self._packer = records.Packer(self._tag_key)
        self._at: Position | None = None
        self._books: Books | None = None
        self._proved = False  # the sums are the ledger's, and not yet only what Redis was found to hold
        self._behind = False
        self.planned_s = EVERY_S
        """How long the round under way should take."""
        self.clean = False
        """Whether the last round has seen everything, and all of it was right."""
        self.faults = 0
        """Records that were other than the ledger says, ever."""

    def round(self) -> Iterator[float]:
        """One look at every bucket, in an order drawn anew. Yields after each step which share of the round is done;
        the caller sees to it that it takes ``planned_s``. Raises Restart."""
        books = self._begin()
        before, self._behind, self.clean = self.faults, False, False
        order = list(range(0, books.layout.buckets, looks.AT_ONCE))
        _random.shuffle(order)
        for number, first in enumerate(order):
            for _ in self._slice(books, first):
                yield number / len(order)
        self.clean = self._balance(books) and not self._behind and self.faults == before

    def keep(self, round_ms: int) -> None:
        """Leave the total in the ledger for whoever sweeps next. Only after a clean round."""
        if self._at is None or self._books is None or self._books.total is None or not self._proved:
            return
        sealed = total.seal(self._total_key, self._at, self._books.total)
        row = {"seq": self._at.seq, "hash": self._at.hash, "sealed": sealed, "round_ms": round_ms}
        sweeps.KEEP.run(self._conn, {**row, "records": self._writer.head().count})

    def clear(self) -> None:
        """A round was clean: alarms end. That they were raised stays on record."""
        if sweeps.CLEAR.run(self._conn):
            _log.warning("a whole round was clean: the registry is believed again")

    # -- books ---------------------------------------------------------------------------------------------------------

    def _begin(self) -> Books:
        head = self._writer.head()
        if head.position is None:
            raise Restart
        # Redis's word for how many there are: no more than it can hold before it is filled anew.
        self.planned_s = planned_s(min(head.count, OVERFULL << head.bits))
        if self._books is None or self._books.layout.bits != head.bits:
            self._books = Books(Layout(head.bits), self._known_total(head.position))
            self._proved = False
        return self._books

    def _known_total(self, at: Position) -> int | None:
        """The total as of `_at`: our own, else the one that was kept in the ledger, else none."""
        if self._books is not None and self._at is not None:
            return self._books.total
        kept = sweeps.KEPT.run(self._conn)
        self._at = at
        if kept is None:
            return None
        position = Position(kept.seq, kept.hash)
        known = total.unseal(self._total_key, position, kept.sealed)
        if known is not None:
            self._at = position
        return known

    def _take_in(self, books: Books, upto: Position) -> bool:
        """Move the books to Redis's head. False: they are past it already, and the relay will bring Redis there."""
        assert self._at is not None  # noqa: S101  set together with the books
        while self._at.seq < upto.seq:
            limit = min(_BATCH, upto.seq - self._at.seq)
            accepted = accept_batch(self._at, entries.read_after(self._conn, self._at.seq, limit))
            if isinstance(accepted, Reload) or not accepted.entries:
                self._lose()
            keys = [key for entry in accepted.entries for key in entry.keys]
            effects = covers.effects_upto(self._conn, keys, accepted.position.seq)
            for entry in accepted.entries:
                for key in entry.keys:
                    self._move(books, key, effects[key], entry.seq)
                if entry.flip is not None:
                    self._turn_over(books, entry.flip, entry.seq)
            self._at = accepted.position
        if self._at.seq == upto.seq and self._at.hash != upto.hash:
            self._lose()
        self._behind = self._behind or self._at.seq > upto.seq
        return self._at == upto

    def _move(self, books: Books, key: bytes, effects: list[Effect], seq: int) -> None:
        before = records.value_after(key, [effect for effect in effects if effect.seq < seq], self._tag_key)
        after = records.value_after(key, [effect for effect in effects if effect.seq <= seq], self._tag_key)
        if before != after:
            place = key[:PLACE_BYTES]
            books.move(books.layout.index(key), self._digest.of(place, before), self._digest.of(place, after))

    def _turn_over(self, books: Books, flip: Flip, seq: int) -> None:
        """An import came into force or went, with all its rows. Of a large one nothing is reckoned: everything is
        compared record by record once more."""
        if flip.rows > RECKONED:
            books.total, self._proved = None, False
            books.forget()
            return
        moved: set[bytes] = set()
        for rows in import_reading.parts(self._conn, flip):
            keys = [key for key in dict.fromkeys(staged.keys_of(rows)) if key not in moved]
            moved.update(keys)
            effects = covers.effects_upto(self._conn, keys, seq)
            for key in keys:
                self._move(books, key, effects[key], seq)

    def _lose(self) -> NoReturn:
        self._at = self._books = None
        raise Restart

    def _balance(self, books: Books) -> bool:
        """At the end of a round: are the sums the ledger's? Where only Redis gave them, the totals decide."""
        if self._proved or not books.complete:
            return self._proved
        if books.total is None:
            books.total, self._proved = books.sum_of_all(), True
        elif books.sum_of_all() == books.total:
            self._proved = True
        else:
            _log.error("the registry is not what the ledger's total says: comparing every record")
            books.total = None
            books.forget()
        return self._proved

    # -- Redis ---------------------------------------------------------------------------------------------------------

    def _slice(self, books: Books, first: int) -> Iterator[None]:
        end = min(first + looks.AT_ONCE, books.layout.buckets)
        found = looks.fingerprints(self._writer, books.layout, first, end)
        yield
        if found is None or found.bits != books.layout.bits:
            raise Restart
        if not self._take_in(books, found.at):
            return
        changed = differing(found.joined, books.seen(first, end))
        while step := list(islice(changed, READ_AT_ONCE)):
            for number in step:
                self._read(books, first + number)
            yield

    def _read(self, books: Books, bucket: int) -> None:
        """Look at a bucket's records, and put right what differs."""
        for _ in range(_TRIES):
            found = self._contents(books, bucket)
            if not self._take_in(books, found.at):
                return
            digest = self._digest_of(books.layout, bucket, found)
            if books.knows(bucket):
                right = digest == books.sum(bucket)
            else:
                right = digest is not None and not self._proved and books.total is not None
                if right and digest is not None:
                    books.learn(bucket, digest)
            if not right:
                right = self._compare(books, bucket, found)
            if right:
                books.right(bucket, found.fingerprint)
                return

    def _contents(self, books: Books, bucket: int) -> looks.Bucket:
        try:
            found = looks.bucket(self._writer, books.layout, bucket)
        except redis.ResponseError:
            self._wipe("a bucket is no hash")
        if found is None or found.bits != books.layout.bits:
            raise Restart
        return found

    def _digest_of(self, layout: Layout, bucket: int, found: looks.Bucket) -> int | None:
        """None: something stands there that is no record of any document key."""
        members = []
        for field, value in found.records.items():
            place = layout.place(bucket, field)
            if place is None:
                return None
            members.append((place, value))
        return self._digest.of_all(members)

    def _compare(self, books: Books, bucket: int, found: looks.Bucket) -> bool:
        """Record by record with the ledger. True: all of it is right."""
        layout = books.layout
        lines = outline.between(self._conn, *layout.bounds(bucket), found.at.seq, found.at.hash)
        if lines is None:
            self._lose()
        effects_of = partial(covers.effects_upto, self._conn, seq=found.at.seq)
        _, packed = self._packer.records(lines, effects_of)
        keys = {layout.field(key): key for key in (line[outline.KEY] for line in lines)}
        expected = {layout.field(key): value for key, value in packed}
        books.learn(bucket, self._digest.of_all((key[:PLACE_BYTES], value) for key, value in packed))
        wrong = [
            field for field in expected.keys() | found.records.keys() if expected.get(field) != found.records.get(field)
        ]
        if len(wrong) > _MOST:
            self._wipe(f"{len(wrong)} records of one bucket differ")
        for field in sorted(wrong):
            key = keys.get(field)
            self._raise(layout.place(bucket, field) or b"", self._name(found.records.get(field), key))
            self._writer.mend(found.at, layout, bucket, field, expected.get(field))
        return not wrong

    def _name(self, value: bytes | None, key: bytes | None) -> str:
        """What is wrong with a record that is not as the ledger says."""
        if value is None:
            return "deleted"
        if key is None:
            return "extra"
        try:
            unpack(value, key, self._tag_key)
        except TamperedRecord:
            return "forged"
        return "rolled_back"

    def _raise(self, place: bytes, what: str) -> None:
        self.faults += 1
        if sweeps.RAISE.run(self._conn, {"place": place, "what": what}):
            _log.error("ALARM: a record in redis is not what the ledger says (%s); it is made so", what)

    def _wipe(self, why: str) -> NoReturn:
        self._raise(b"", "bucket")
        _log.error("ALARM: %s; the registry is filled anew", why)
        request_rebuild(self._writer.client)
        raise Restart
