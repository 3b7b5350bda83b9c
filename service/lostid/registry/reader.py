"""Reading records off Redis: one connection, one round trip at a time; a server that fails is left alone for a while.

What comes back is proved or it is nothing: see scripts/lookup.lua.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import redis
import redis.asyncio
from redis.asyncio.connection import AbstractConnection

from lostid.domain.position import Position
from lostid.registry.buckets import MAX_BITS, MIN_BITS, Layout
from lostid.registry.keys import CHAIN, DOUBT, HEAD
from lostid.registry.line import Line, Reply
from lostid.registry.scripts import Name, script
from lostid.registry.wire import call, load, packed

TIMEOUT: Final = 0.25
REST: Final = 0.5
DOUBTS: Final = 1_000
_TRIES: Final = 3  # one may find that the script is not loaded, one that the buckets are laid out otherwise

Values = list[bytes | None]

_log = logging.getLogger(__name__)


class RegistryDown(Exception):
    """Redis did not answer, in time or at all, or answered what it never should."""


@dataclass(frozen=True, slots=True)
class Question:
    """Records of document keys, to be believed only if Redis holds the entry at ``at``."""

    at: Position
    keys: Sequence[bytes]


class Reader:
    """One per worker. One question at a time: `read` and `begin` must not be called before the last has had its answer
    (a Gatherer sees to that).

    A connection on which anything went wrong is closed, so that no reply is ever taken for another question's.
    """

    def __init__(self, client: redis.asyncio.Redis, timeout: float = TIMEOUT, rest: float = REST) -> None:
        self._connection: AbstractConnection = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        self._line: Line | None = None
        self._timeout = timeout
        self._rest = rest
        self._layout = Layout(MIN_BITS)
        self._probe: asyncio.Task[None] | None = None
        self._failure: Exception | None = None  # of a question that was begun
        self._doubts: set[bytes] = set()

    @property
    def resting(self) -> bool:
        """Redis failed a moment ago and has not yet answered a probe: ask the ledger."""
        return self._probe is not None

    def doubt(self, key: bytes) -> None:
        """Have the relay compare this record with the ledger. Goes with the next question; may be lost."""
        if len(self._doubts) < DOUBTS:
            self._doubts.add(key)

    def begin(self, question: Question, told: Callable[[Values | None], None], again: Callable[[], None]) -> bool:
        """Ask at once, without a task of one's own. ``told`` gets what `read` would return, as soon as it comes in;
        ``again`` is called where it takes `read` to find out, or to say what went wrong. False: nothing was begun, and
        `read` has to be asked."""
        line = self._line
        if line is None or self.resting or self._doubts or self._failure is not None:
            return False
        until = asyncio.get_running_loop().time() + self._timeout
        try:
            line.ask(self._lookup(question), 1, until, partial(self._replied, question, told, again))
        except Exception as error:  # `read` raises it, and closes the connection
            self._failure = error
            return False
        return True

    def _replied(
        self,
        question: Question,
        told: Callable[[Values | None], None],
        again: Callable[[], None],
        replies: list[Reply] | Exception,
    ) -> None:
        if isinstance(replies, Exception):
            self._failure = replies
        elif (reply := replies[0]) == b"U":
            told(None)
            return
        elif isinstance(reply, bytes) and reply[:1] == b"P":
            try:
                values = _values(reply, len(question.keys))
            except Exception as error:  # a mistake of ours, too: `read` raises it, so nobody waits for ever
                self._failure = error
            else:
                told(values)
                return
        again()

    async def read(self, questions: Sequence[Question]) -> list[Values | None]:
        """For each question the values of its keys (None: a miss), or None: not proved. Raises RegistryDown."""
        if self.resting:
            raise RegistryDown("left alone after a failure")
        try:
            failure, self._failure = self._failure, None
            if failure is not None:
                raise failure
            return await self._ask(questions, asyncio.get_running_loop().time() + self._timeout)
        except (redis.RedisError, OSError, TimeoutError) as error:
            await self._close()
            self._probe = asyncio.create_task(self._probing())
            raise RegistryDown(type(error).__name__) from error
        except BaseException:
            await self._close()
            raise

    async def _ask(self, questions: Sequence[Question], until: float) -> list[Values | None]:
        line = self._line or await self._open(until)
        answers: list[Values | None] = [None] * len(questions)
        pending = list(range(len(questions)))
        for _ in range(_TRIES):
            again, unknown = [], False
            replies = await self._exchange(line, [questions[number] for number in pending], until)
            for number, reply in zip(pending, replies, strict=True):
                if isinstance(reply, redis.exceptions.NoScriptError):
                    unknown = True
                    again.append(number)
                elif not isinstance(reply, bytes):
                    pass  # an error instead of an answer: not proved
                elif reply[:1] == b"P":
                    answers[number] = _values(reply, len(questions[number].keys))
                elif reply[:1] == b"B" and self._lay_out(reply[1:]):
                    again.append(number)
            if not again:
                break
            if unknown:
                await line.exchange(load(Name.LOOKUP), 1, until)
            pending = again
        return answers

    async def _exchange(self, line: Line, questions: Sequence[Question], until: float) -> list[Reply]:
        """All questions in one write, and as many replies."""
        commands = [self._lookup(question) for question in questions]
        if self._doubts:
            doubts, self._doubts = self._doubts, set()
            text = script(Name.DOUBT).text.encode()
            commands.append(packed([b"EVAL", text, b"1", DOUBT, b"%d" % DOUBTS, *doubts]))
        replies = await line.exchange(b"".join(commands), len(commands), until)
        return replies[: len(questions)]

    def _lookup(self, question: Question) -> bytes:
        layout, at = self._layout, question.at
        buckets = [layout.bucket(key) for key in question.keys]
        fields = b"".join([layout.field(key) for key in question.keys])
        args = (b"%d" % at.seq, at.hash, b"%d" % layout.bits, fields)
        return call(Name.LOOKUP, [HEAD, CHAIN, *buckets], args, b"EVALSHA_RO")

    def _lay_out(self, bits: bytes) -> bool:
        if not bits.isdigit() or int(bits) > MAX_BITS:
            return False
        self._layout = Layout(int(bits))
        return True

    async def _open(self, until: float) -> Line:
        async with asyncio.timeout_at(until):
            self._line = await Line.open(self._connection)
        return self._line

    async def _probing(self) -> None:
        """Ask for a sign of life now and then until there is one. Whatever goes wrong: without the next probe Redis
        would be left alone for ever."""
        heard = False
        while True:
            await asyncio.sleep(self._rest)
            until = asyncio.get_running_loop().time() + self._timeout
            try:
                line = self._line or await self._open(until)
                await line.exchange(packed([b"PING"]), 1, until)
            except (redis.RedisError, OSError, TimeoutError):
                await self._close()
            except Exception as mistake:  # of ours, and to be heard of: once, not twice a second
                if not heard:
                    _log.error("redis is left alone, for a probe of it failed", exc_info=mistake)
                heard = True
                await self._close()
            else:
                self._probe = None
                return

    async def _close(self) -> None:
        """Without a farewell: replies may still be on their way. The next command opens it anew."""
        self._line = None
        await self._connection.disconnect(nowait=True)

    async def close(self) -> None:
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.wait([self._probe])
        await self._close()


def _values(reply: bytes, count: int) -> Values:
    """Takes apart what scripts/lookup.lua put together. Raises redis.InvalidResponse for anything else."""
    values: Values = []
    at = 1
    for _ in range(count):
        start = at + 2
        at = start + int.from_bytes(reply[at:start])
        values.append(reply[start:at] or None)
    if at != len(reply):
        raise redis.InvalidResponse("not the length that was said")
    return values
