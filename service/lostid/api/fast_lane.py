"""uvicorn's HTTP protocol with a fast lane for checks, and with the deadlines and limits that it lacks.

A check whose request is ordinary is answered as soon as its body is complete: no task, no scope, no event. Everything
else (other paths and methods, HTTP/1.0, `Connection: close`, `Expect`, bodies without a length, a client that does not
read its answers, a request behind one that is still being answered) goes the way of ASGI, which gives the same answer.

What must hold: the bytes of an answer do not depend on the way, but for ids and times; answers leave in the order of
their requests; no connection keeps a place longer than the deadlines below without making use of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from enum import Enum
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from lostid.api.body import LIMIT
from lostid.api.lane import Decide, Lane
from lostid.api.problems import Answer

HEAD_S = 5.0  # for a whole request head, and for the first byte on a new connection
BODY_S = 10.0  # for a whole body; for a streamed one, between two of its parts
IDLE_S = 75.0  # between two requests
HEAD_LIMIT = 16 * 1024
_SWEEP_EVERY_S = 0.5
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\ncache-control: no-store\r\n"
    b"connection: close\r\n\r\n"
)


class Stage(Enum):
    """What the next byte on a connection belongs to."""

    HEAD = "head"
    BODY = "body"
    STREAM = "stream"  # a body without a size limit: the rows of an import
    BETWEEN = "between"


_HEAD, _BODY, _STREAM, _BETWEEN = Stage  # a member read from its class costs more than a dictionary's look-up
_DEADLINES = {_HEAD: HEAD_S, _BODY: BODY_S, _STREAM: BODY_S, _BETWEEN: IDLE_S}


class _Pending:
    """Stands where uvicorn keeps the request that is being answered, while an exact record is read for a check."""

    def __init__(self) -> None:
        self.response_complete = False
        self.disconnected = False
        self.keep_alive = True
        self.more_body = False
        self.message_event = asyncio.Event()


class FastLane(HttpToolsProtocol):
    """One per connection. Made by `protocol_for`."""

    lane: ClassVar[Lane]
    sweeper: ClassVar[Sweeper]
    starts: ClassVar[Starts]

    _stage = _HEAD
    _since = 0.0
    _head_size = 0
    _chunk = 0
    _length: bytes | None = None
    _decide: Decide | None = None
    _body = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since = self.loop.time()
        self.sweeper.watch(self)

    def data_received(self, data: bytes) -> None:
        self._chunk = len(data)
        began_before = self._stage is _HEAD
        super().data_received(data)
        if self._stage is _HEAD and began_before:
            self._head_size += self._chunk
            if self._head_size > HEAD_LIMIT:
                self._refuse_head()

    # --- the parser's callbacks --------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        # uvicorn would build the ASGI scope here; that is put off until it is known to be needed.
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._length = None
        self._head_size = 0
        self._stage = _HEAD
        self._since = self.loop.time()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._stage is not _HEAD:
            return  # RFC 9110 section 6.5.1: a trailer is no header; who asks was settled before the body
        name = name.lower()
        if name == b"content-length":
            self._length = value
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._chunk > HEAD_LIMIT and sum(len(name) + len(value) for name, value in self.headers) > HEAD_LIMIT:
            self._refuse_head()
            return
        self._stage = _BODY
        decide = self.lane.decide_for(self.url)
        if decide is not None and self._is_ordinary():
            self._decide = decide
            self._body = b""
            return
        if self.parser.get_method() == b"PUT" and self.url.endswith(b"/rows"):
            self._stage = _STREAM
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)  # the list that the scope holds
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._decide is not None:
            self._body = self._body + body if self._body else body
            return
        if self._stage is _STREAM:
            self._since = self.loop.time()
        if self.cycle is not None:  # None: the head was refused
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._stage = _BETWEEN
        decide, self._decide = self._decide, None
        if decide is None:
            if self.cycle is not None:
                super().on_message_complete()
            return
        outcome = decide(self.headers, self._body)
        if isinstance(outcome, Answer):
            self._write(outcome, keep_alive=True)
            self.server_state.total_requests += 1
            return
        pending = _Pending()
        self.cycle = pending  # type: ignore[assignment]
        task = self.loop.create_task(self._answer_later(outcome, pending))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    # --- the fast lane -----------------------------------------------------------------------------------------------

    def _is_ordinary(self) -> bool:
        parser, length = self.parser, self._length
        return (
            parser.get_method() == b"POST"
            and length is not None
            and length.isdigit()
            and int(length) <= LIMIT
            and parser.should_keep_alive()
            and parser.get_http_version() == "1.1"
            and not parser.should_upgrade()
            and not self.expect_100_continue
            and not self._answering()
            and not self.flow.write_paused
            and self.limit_concurrency is None
        )

    def _answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request that went the way of ASGI
        return cycle is not None and not cycle.response_complete

    async def _answer_later(self, outcome: Coroutine[Any, Any, Answer], pending: _Pending) -> None:
        answer = await outcome
        pending.response_complete = True
        if pending.disconnected or self.transport.is_closing():
            return
        self._write(answer, keep_alive=pending.keep_alive)
        self._since = self.loop.time()
        self.on_response_complete()

    def _write(self, answer: Answer, *, keep_alive: bool) -> None:
        """As uvicorn writes it: status line, its own headers (the date), ours; and the body in the same segment."""
        ours = b"".join([b"%b: %b\r\n" % header for header in answer.headers])
        close = b"" if keep_alive else b"connection: close\r\n"
        start = self.starts.of(answer.status, self.server_state.default_headers)
        self.transport.write(b"%b%b%b\r\n%b" % (start, ours, close, answer.body))
        if not keep_alive:
            self.transport.close()

    # --- limits ------------------------------------------------------------------------------------------------------

    def _refuse_head(self) -> None:
        """What is larger than any head should be is not read to its end."""
        if not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def overdue(self, now: float) -> bool:
        """Whether the connection has used up its time. While *we* owe an answer it is not the client's time."""
        if self._stage is _BETWEEN and self._answering():
            self._since = now
            return False
        return now - self._since > _DEADLINES[self._stage]


class Starts:
    """How answers begin: the status line and uvicorn's own headers, which it makes anew (the date) once a second."""

    def __init__(self) -> None:
        self._headers: list[tuple[bytes, bytes]] = []
        self._made: dict[int, bytes] = {}

    def of(self, status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
        if headers is not self._headers:
            self._headers, self._made = headers, {}
        start = self._made.get(status)
        if start is None:
            start = self._made[status] = STATUS_LINE[status] + b"".join([b"%b: %b\r\n" % own for own in headers])
        return start


class Sweeper:
    """Ends overdue connections of one worker: one timer for all of them, where a timer each would cost every check."""

    def __init__(self) -> None:
        self._swept: set[FastLane] | None = None

    def watch(self, connection: FastLane) -> None:
        """See to it that the worker's connections are swept while there are any."""
        if self._swept is None:
            self._swept = connection.connections  # type: ignore[assignment]
            connection.loop.call_later(_SWEEP_EVERY_S, self._sweep, connection.loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        swept = self._swept or set()
        for connection in tuple(swept):
            if connection.overdue(now):
                connection.transport.abort()  # a client that is silent does not wait for a farewell
        if swept:
            loop.call_later(_SWEEP_EVERY_S, self._sweep, loop)
        else:
            self._swept = None


def protocol_for(lane: Lane) -> type[FastLane]:
    """The protocol class for `uvicorn.Config(http=...)` whose connections use this lane."""
    return type("BoundFastLane", (FastLane,), {"lane": lane, "sweeper": Sweeper(), "starts": Starts()})
