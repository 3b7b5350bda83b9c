"""How long a connection may take for what it is at, and who ends those that take longer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from enum import Enum
from typing import Protocol

HEAD_S = 5.0  # for a whole request head, and for the first byte on a new connection
BODY_S = 10.0  # for a whole body; for a streamed one, between two of its parts
IDLE_S = 75.0  # between two requests
READ_S = 30.0  # for a client that does not read its answers, between two bits that it does read
END_S = 2.0  # for a client to hear why it is refused, before the connection is closed
_STEP_S = 0.05
_STEPS = 10  # in a round
_ENDED_AT_ONCE = 20


class Stage(Enum):
    """What the next byte on a connection belongs to."""

    HEAD = "head"
    BODY = "body"
    STREAM = "stream"  # a body without a size limit: the rows of an import
    BETWEEN = "between"
    END = "end"  # to nothing: the last answer has been written


_ROOMY = {Stage.HEAD: HEAD_S, Stage.BODY: BODY_S, Stage.STREAM: BODY_S, Stage.BETWEEN: IDLE_S, Stage.END: END_S}
_CROWDED = _ROOMY | {Stage.HEAD: 1.0, Stage.BETWEEN: 5.0}
_CROWDED_FROM = 0.8  # of the connections that a worker may have


def deadlines(connections: int, limit: int) -> Mapping[Stage, float]:
    """Seconds for each stage. Where places become few, those who do nothing have less time."""
    return _CROWDED if connections > _CROWDED_FROM * limit else _ROOMY


class Timed(Protocol):
    """A connection."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport

    def overdue(self, now: float) -> bool: ...


class Sweeper:
    """Ends overdue connections of one worker: one timer for all of them, where a timer each would cost every check.

    In steps, so that those who came together, and are overdue together, do not all end in one turn of the loop. Each is
    looked at twice a second all the same, however many are overdue: where they are many, the steps are closer."""

    def __init__(self) -> None:
        self._swept: set[Timed] | None = None
        self._left: list[Timed] = []  # of this round
        self._at_once = 0
        self._overdue: list[Timed] = []  # of those looked at last
        self._pause = _STEP_S

    def watch(self, connection: Timed, connections: set[Timed]) -> None:
        """See to it that the worker's connections, of which this is one, are swept while there are any."""
        if self._swept is None:
            self._swept = connections
            connection.loop.call_later(_STEP_S, self._step, connection.loop)

    def _step(self, loop: asyncio.AbstractEventLoop) -> None:
        swept, now = self._swept or set(), loop.time()
        if not self._overdue:
            self._look(swept, now)
        ending, self._overdue = self._overdue[:_ENDED_AT_ONCE], self._overdue[_ENDED_AT_ONCE:]
        for connection in ending:
            if connection in swept and connection.overdue(now):
                connection.transport.abort()  # a client that is silent does not wait for a farewell
        if swept:
            loop.call_later(self._pause, self._step, loop)
        else:
            self._swept, self._left, self._overdue = None, [], []

    def _look(self, swept: set[Timed], now: float) -> None:
        if not self._left:
            self._left = list(swept)
            self._at_once = -(-len(self._left) // _STEPS)
        looked_at, self._left = self._left[: self._at_once], self._left[self._at_once :]
        self._overdue = [connection for connection in looked_at if connection in swept and connection.overdue(now)]
        self._pause = _STEP_S / max(1, -(-len(self._overdue) // _ENDED_AT_ONCE))
