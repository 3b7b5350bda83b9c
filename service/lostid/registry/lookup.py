"""EXACT: the record of a document key, proved to be no older than the reader. Redis, else the ledger, else nothing.

A miss in Redis is confirmed by the ledger, a record that is not what we wrote is read there instead, and where neither
can prove that it holds the reader's entry there is no answer at all: `FreshnessUnproven`, never "clear".
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from lostid.domain.instance import Instance
from lostid.domain.packed import Packed, TamperedRecord, unpack
from lostid.domain.position import Position
from lostid.domain.record import Record
from lostid.domain.status import Status, decide
from lostid.registry.gather import Ended, Gatherer
from lostid.registry.reader import Question, Reader, RegistryDown, Values

AT_ONCE: Final = 500
"""Keys in one script: about half a millisecond of the server's time."""
LEDGER_AT_ONCE: Final = 2
LEDGER_TIMEOUT: Final = 2.0

Confirm = Callable[[Sequence[bytes], Position], Awaitable[Mapping[bytes, Record] | None]]
"""The ledger: the record of every key asked for (an empty one where there is none) from a server that holds the entry
at the position; None if this one does not. Raises whatever it likes when it cannot be reached."""

_log = logging.getLogger(__name__)


class FreshnessUnproven(Exception):
    """Neither Redis nor the ledger could show a record that contains what the reader holds: 503, never a guess."""


class Source(Enum):
    REGISTRY = "registry"
    LEDGER = "ledger"


@dataclass(frozen=True, slots=True)
class Found:
    """A record that contains everything up to the reader's position."""

    record: Packed | Record
    source: Source

    def status(self, instance: Instance) -> Status:
        return decide(self.record, instance)


@dataclass(slots=True)
class Counts:
    """For the metrics. ``tampered`` is an alarm: somebody else writes to our Redis, or memory lies."""

    from_registry: int = 0
    from_ledger: int = 0
    missed: int = 0  # not in Redis
    lost: int = 0  # not in Redis, yet in force
    tampered: int = 0
    unproven: int = 0  # Redis did not hold the reader's entry
    failed: int = 0  # Redis did not answer
    refused: int = 0  # no answer from anywhere


class _Ask:
    """What one caller wants to know. Whether he still waits is seen only when there is something to tell him."""

    __slots__ = ("answer", "at", "found", "keys", "missed")

    def __init__(self, keys: Sequence[bytes], at: Position) -> None:
        self.keys = keys
        self.at = at
        self.found: dict[bytes, Found] = {}
        self.missed: list[bytes] = []  # Redis is no older than the asker, and has no record of these
        self.answer: asyncio.Future[list[Found]] = asyncio.get_running_loop().create_future()

    def open_keys(self) -> list[bytes]:
        return [key for key in self.keys if key not in self.found]

    def settle(self) -> bool:
        """Tell the caller, if all is known."""
        if self.open_keys():
            return False
        if not self.answer.done():
            self.answer.set_result([self.found[key] for key in self.keys])
        return True

    def refuse(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


_Parts = Sequence[tuple[Position, list[_Ask], list[bytes]]]


class ExactLookup:
    """One per worker. What is asked during one turn of the event loop goes to Redis in one command.

    ``position`` is read when the question is asked, and must be what this worker's page says then: call `of` after the
    lease was read and the filter was looked up in.
    """

    def __init__(self, reader: Reader, confirm: Confirm, position: Callable[[], Position], tag_key: bytes) -> None:
        self.counts = Counts()
        self.distrusted = False
        """Somebody has changed records in Redis: until all of it has been compared again, the ledger answers."""
        self._reader = reader
        self._confirm = confirm
        self._position = position
        self._tag_key = tag_key
        self._registry = Gatherer(self._ask_registry, at_once=1)
        self._ledger: Gatherer[_Ask] = Gatherer(
            lambda asks, ended: self._in_a_task(self._ask_ledger(asks), ended), at_once=LEDGER_AT_ONCE
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._confirming: set[asyncio.Task[Mapping[bytes, Record] | None]] = set()

    def of(self, keys: Sequence[bytes]) -> asyncio.Future[list[Found]]:
        """What is found for each key, in order; FreshnessUnproven for all of them if it is so for one. The question is
        put now, and goes with all that is asked in this turn of the loop, or until the one under way has its answer."""
        ask = _Ask(keys, self._position())
        (self._ledger if self._reader.resting or self.distrusted else self._registry).put(ask)
        return ask.answer

    async def close(self) -> None:
        await self._registry.close()
        await self._ledger.close()
        await self._reader.close()

    def _ask_registry(self, asks: list[_Ask], ended: Ended) -> None:
        """The ordinary case without a task: with one the answer would leave turns of the loop later."""
        parts = [(at, together, part) for at, together in _by_position(asks) for part in _split(_keys(together))]

        def slowly() -> None:
            self._in_a_task(self._read(parts, asks), ended)

        def told(values: Values | None) -> None:
            try:
                self._take_all(asks, parts[0][2], values)
            finally:  # whatever it was that could not be read: the ledger answers
                self._settle(asks)
                ended()

        if len(parts) != 1 or not self._reader.begin(Question(parts[0][0], parts[0][2]), told, slowly):
            slowly()

    async def _read(self, parts: _Parts, asks: list[_Ask]) -> None:
        try:
            answers = await self._reader.read([Question(at, part) for at, _, part in parts])
        except RegistryDown as error:
            self.counts.failed += 1
            _log.warning("redis did not answer, the ledger does: %s", error)
        else:
            for (_, together, part), values in zip(parts, answers, strict=True):
                self._take_all(together, part, values)
                if len(parts) > 1:
                    await asyncio.sleep(0)  # some milliseconds each: let others in between
        finally:
            self._settle(asks)

    def _settle(self, asks: list[_Ask]) -> None:
        for ask in asks:
            if not ask.settle():
                self._ledger.put(ask)

    def _in_a_task(self, work: Coroutine[Any, Any, None], ended: Ended) -> None:
        """``work`` sees to its own exceptions."""

        def over(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            ended()
            if not task.cancelled():
                task.result()  # a mistake in `work` goes to the loop's exception handler, not into silence

        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(over)

    def _take_all(self, asks: list[_Ask], keys: list[bytes], values: Values | None) -> None:
        if values is None:
            self.counts.unproven += 1
        else:
            self._take(asks, dict(zip(keys, values, strict=True)))

    def _take(self, asks: Iterable[_Ask], values: Mapping[bytes, bytes | None]) -> None:
        """What Redis has proved. A miss never counts as an answer: a deleted record must not clear."""
        found = {
            key: Found(record, Source.REGISTRY) for key, value in values.items() if (record := self._opened(key, value))
        }
        self.counts.from_registry += len(found)
        for ask in asks:
            for key in ask.keys:
                if key in found:
                    ask.found[key] = found[key]
                elif values.get(key, b"") is None:
                    ask.missed.append(key)

    def _opened(self, key: bytes, value: bytes | None) -> Packed | None:
        if value is None:
            self.counts.missed += 1
            return None
        try:
            return unpack(value, key, self._tag_key)
        except TamperedRecord as error:
            self.counts.tampered += 1
            self._reader.doubt(key)
            if (
                self.counts.tampered.bit_count() == 1
            ):  # the 1st, 2nd, 4th ...: whoever writes there must not fill the log
                _log.error(
                    "record no. %d in redis that is not ours (%s); the ledger answers", self.counts.tampered, error
                )
            return None

    async def _ask_ledger(self, asks: list[_Ask]) -> None:
        # One deadline for all positions: what comes in meanwhile must not wait for each of them.
        until = asyncio.get_running_loop().time() + LEDGER_TIMEOUT
        for at, together in _by_position(ask for ask in asks if not ask.answer.done()):
            keys = list(dict.fromkeys(key for ask in together for key in ask.open_keys()))
            try:
                records = await self._confirmed(keys, at, until)
                found = {key: Found(records[key], Source.LEDGER) for key in keys}
            except Exception as error:  # whatever it was: nothing has been proved, and the caller must hear it
                self.counts.refused += len(together)
                unproven = FreshnessUnproven(f"{type(error).__name__}: {error}")
                unproven.__cause__ = error
                for ask in together:
                    ask.refuse(unproven)
                continue
            self.counts.from_ledger += len(keys)
            self._look_for_lost(together, records)
            for ask in together:
                ask.found = found | ask.found
                ask.settle()

    async def _confirmed(self, keys: Sequence[bytes], at: Position, until: float) -> Mapping[bytes, Record]:
        """The ledger's records. A question that takes too long is left to itself: nothing cancels a database call."""
        left = until - asyncio.get_running_loop().time()
        if left <= 0:
            raise TimeoutError("the ledger did not answer in time")
        task = asyncio.ensure_future(self._confirm(keys, at))
        self._confirming.add(task)
        task.add_done_callback(self._confirmed_late)
        done, _ = await asyncio.wait([task], timeout=left)
        if not done:
            raise TimeoutError("the ledger did not answer in time")
        if task.cancelled():  # its CancelledError would pass for our own
            raise LookupError("the question to the ledger was given up")
        records = task.result()
        if records is None:
            raise LookupError("the ledger's server does not hold this host's last entry")
        return records

    def _confirmed_late(self, task: asyncio.Task[Mapping[bytes, Record] | None]) -> None:
        self._confirming.discard(task)
        if not task.cancelled():
            task.exception()  # was told to the caller, or nobody waits for it any more

    def _look_for_lost(self, asks: Iterable[_Ask], records: Mapping[bytes, Record]) -> None:
        """In force, but Redis did not have it: have the relay look. (Or the report came in between, and is no loss.)"""
        for key in {key for ask in asks for key in ask.missed}:
            if records[key]:
                self.counts.lost += 1
                self._reader.doubt(key)


def _by_position(asks: Iterable[_Ask]) -> Iterable[tuple[Position, list[_Ask]]]:
    """A proof is for one position. Those asked in one turn nearly always share it."""
    groups: dict[Position, list[_Ask]] = {}
    for ask in asks:
        groups.setdefault(ask.at, []).append(ask)
    return groups.items()


def _keys(asks: Iterable[_Ask]) -> list[bytes]:
    return list(dict.fromkeys(key for ask in asks for key in ask.keys))


def _split(keys: list[bytes]) -> Iterable[list[bytes]]:
    return (keys[start : start + AT_ONCE] for start in range(0, len(keys), AT_ONCE))
