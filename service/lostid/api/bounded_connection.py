"""uvicorn's HTTP protocol with the deadlines and limits that it lacks, and with an answer for what is no request.

What must hold: answers leave in the order of their requests, refusals too; nothing behind a refused request is read; no
connection keeps a place longer than its deadlines without making use of it.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from lostid.api.connection import Deaf, Flow, Starts
from lostid.api.deadlines import READ_S, Stage, Sweeper, deadlines
from lostid.api.lane import App, Decide, Lane, Receive, Scope, Send, answer_with
from lostid.api.problems import Answer

_CLOSE: Final = b"connection: close\r\n"
_HEAD, _BODY, _STREAM, _BETWEEN, _END = Stage  # a member read from its class costs more than a dictionary's look-up


class BoundedConnection(HttpToolsProtocol):
    """One per connection, `limit` at most in a worker."""

    lane: ClassVar[Lane]
    limit: ClassVar[int]
    sweeper: ClassVar[Sweeper]
    starts: ClassVar[Starts]

    _stage = _HEAD
    _since = 0.0
    _decide: Decide | None = None  # what will answer, while the body of a check is still coming
    _owed: Answer | None = None  # the refusal that leaves last
    _last = False  # the client has said all that it will
    _unread = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = Flow(transport, self.pipeline)
        self._since = self.loop.time()
        self.sweeper.watch(self, self.connections)  # type: ignore[arg-type]

    def eof_received(self) -> bool:  # type: ignore[override]
        """Who has said all still hears what was asked for: answers leave before the connection does."""
        self._last = self._stage is _BETWEEN and self._answering()
        return self._last

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._answering() or self.transport.is_closing():
            return
        if self._owed is not None:
            self._end(self._owed)
        elif self._last:
            self.transport.close()

    def _answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request that went the way of ASGI
        return cycle is not None and not cycle.response_complete

    def _write(self, answer: Answer) -> None:
        """As uvicorn writes it: status line, its own headers (the date), ours; and the body in the same segment."""
        start = self.starts.of(answer.status, self.server_state.default_headers)
        self.transport.write(b"%b%b\r\n%b" % (start, answer.lines, answer.body))

    def _refuse(self, code: str) -> None:
        """What is no request is told so, behind all answers that are still owed; then the connection ends."""
        if self.transport.is_closing():
            return
        answer = closing(self.lane.checks.refuse_request(code, dict(self.headers or ())))
        in_body, self._stage = self._stage in (_BODY, _STREAM) and self._decide is None, _BETWEEN
        self._decide = None
        self.parser = Deaf(self.transport)  # type: ignore[assignment]
        if in_body and self.pipeline:  # its body breaks off before its turn has come
            cycle, _ = self.pipeline[0]
            cycle.keep_alive = False
            self.pipeline[0] = cycle, _telling(answer)  # type: ignore[assignment]
        elif in_body:
            self.cycle.disconnected = True  # nobody waits for the rest, and nobody answers for it
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.transport.close()
            else:
                self._end(answer)
        elif self._answering():
            self._owed = answer
        else:
            self._end(answer)

    def _end(self, answer: Answer) -> None:
        self._write(answer)
        self._stage = _END
        self._since = self.loop.time()
        self.transport.write_eof()

    def overdue(self, now: float) -> bool:
        """Whether the connection has used up its time. While *we* owe an answer it is not the client's time, unless
        it does not read."""
        if self.flow.write_paused:
            unread = self.transport.get_write_buffer_size()
            if unread != self._unread:
                self._unread, self._since = unread, now
            return now - self._since > READ_S
        if self._stage is _BETWEEN and self._answering():
            self._since = now
            return False
        return now - self._since > deadlines(len(self.connections), self.limit)[self._stage]


def closing(answer: Answer) -> Answer:
    return answer._replace(lines=answer.lines + _CLOSE)


def _telling(answer: Answer) -> App:
    async def tell(_: Scope, __: Receive, send: Send) -> None:
        await answer_with(answer, send)

    return tell
