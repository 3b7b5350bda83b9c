"""The fast lane: checks that are answered as soon as their body is complete, without a task, a scope or an event; and
where the head is one that was read before, without the parser.

Everything out of the ordinary (other paths and methods, HTTP/1.0, `Connection: close`, `Expect`, bodies without a
length, a client that does not read its answers, a request behind one that is still being answered) goes the way of
ASGI, which gives the same answer.

What must hold: the bytes of an answer do not depend on the way, but for ids and times; no more of what a client sent is
kept than one reading beyond what is being answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, ClassVar

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser

from lostid.api import framing, logs
from lostid.api.body import LIMIT
from lostid.api.bounded_connection import BoundedConnection, closing
from lostid.api.connection import Pending
from lostid.api.deadlines import Stage
from lostid.api.framing import HEAD_LIMIT
from lostid.api.known_heads import Known, KnownHeads
from lostid.api.lane import CHECK, Decide
from lostid.api.problems import Answer
from lostid.api.raw_head import RawCheck
from lostid.api.steps import Head

CHECK_URL = CHECK.encode("ascii")
_HEAD, _BODY, _STREAM, _BETWEEN, _ = Stage  # a member read from its class costs more than a dictionary's look-up


class _Refused(Exception):
    """The request that is being parsed is none. Carries the problem's code."""


class FastLane(BoundedConnection):
    """One per connection."""

    known: ClassVar[KnownHeads]

    _head_size = 0
    _chunk = 0
    _beside = 0  # bytes that came since the last one of a body: sizes of chunks, their extensions, trailers
    _host: bytes | None = b""  # the last that was found good
    _alone: bytes | None = None  # what came, where a message begins with it
    _head: Head = {}  # noqa: RUF012  replaced, never changed
    _body = b""
    _without_upgrade = b""

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._stage is _BETWEEN and self._is_free():
            known = self.known.of(data)
            if known is not None:
                self._on_known(known, data)
                return
            self._alone = data
        self._parse(data)
        self._alone = None

    def _on_known(self, known: Known, data: bytes) -> None:
        self._since = self.loop.time()
        self.url = known.url
        self.on_check(known.decide, known.head, data[len(data) - known.length :])

    def _parse(self, data: bytes) -> None:
        self._chunk = len(data)
        if self._stage is _HEAD:
            self._head_size += self._chunk  # until a message begins
        behind = None
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            behind = memoryview(data)[upgrade.args[0] :]
        except HttpParserError as error:
            self._refuse(_code_of(error))
            return
        if behind is not None:
            self._stay(behind)
        stage = self._stage
        if stage is _HEAD:
            # Where the head began in the middle of this reading, what of it is known counts.
            if self._head_size > HEAD_LIMIT or (self._chunk > HEAD_LIMIT and framing.is_large(self.url, self.headers)):
                self._refuse("head_too_large")
        elif stage in (_BODY, _STREAM) and self._decide is None:
            self._beside += self._chunk
            if self._beside > self._chunk + HEAD_LIMIT:
                self._refuse("head_too_large")

    # --- the parser's callbacks --------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        # uvicorn would build the ASGI scope here; that is put off until it is known to be needed.
        self.url = b""
        self.headers = []
        self._head_size = 0
        self._stage = _HEAD
        self._since = self.loop.time()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._stage is not _HEAD:
            return  # RFC 9110 section 6.5.1: a trailer is no header; who asks was settled before the body
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        headers = self.headers
        head = dict(headers)
        if self._chunk > HEAD_LIMIT and framing.is_large(self.url, headers):
            raise _Refused("head_too_large")
        if len(head) != len(headers) or head.get(b"host") != self._host:
            if not framing.is_addressed(self.parser.get_http_version(), headers, head):
                raise _Refused("request_malformed")
            self._host = head.get(b"host")
        decide = self.lane.decide_for(self.url)
        if decide is not None and self._is_ordinary(head):
            self._stage = _BODY
            self._decide = decide
            self._head = head
            self._body = b""
            return
        self._go_slowly(head)

    def _go_slowly(self, head: Head) -> None:
        """The way of ASGI."""
        parser, url, headers = self.parser, self.url, self.headers
        method = parser.get_method()
        if not framing.is_framed(method, parser.get_http_version(), url, head):
            raise _Refused("request_malformed")
        if parser.should_upgrade():
            kept = b"".join([b"%b: %b\r\n" % header for header in headers if header[0] != b"upgrade"])
            self._without_upgrade = b"%b %b HTTP/1.1\r\n%b\r\n" % (method, url, kept)
            return
        super().on_message_begin()
        self.url, self.expect_100_continue = url, head.get(b"expect", b"").lower() == b"100-continue"
        self.headers.extend(headers)  # the list that the scope holds
        try:
            super().on_headers_complete()
        except (HttpParserError, AttributeError):  # the target is no URL, or one without a path
            raise _Refused("request_malformed") from None
        self.scope["path"] = framing.path_of(self.scope["raw_path"])
        self._stage = _STREAM if method == b"PUT" and url.endswith(b"/rows") else _BODY
        self._beside = 0

    def _stay(self, behind: memoryview) -> None:
        """RFC 9110 section 7.8: who does not want to upgrade goes on as if nobody had asked. The parser takes what is
        behind the head for another protocol's, so another one reads the request, without the field."""
        while True:
            self.parser = HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            head, self._without_upgrade = self._without_upgrade, b""
            try:
                self.parser.feed_data(head)
                self.parser.feed_data(behind)
                return
            except HttpParserUpgrade as upgrade:
                behind = behind[upgrade.args[0] :]
            except HttpParserError as error:
                self._refuse(_code_of(error))
                return

    def on_body(self, body: bytes) -> None:
        if self._decide is not None:
            self._body = self._body + body if self._body else body
            return
        self._beside = 0
        if self._stage is _STREAM:
            self._since = self.loop.time()
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._without_upgrade:
            return
        self._stage = _BETWEEN
        decide, self._decide = self._decide, None
        if decide is None:
            super().on_message_complete()
            return
        if self._alone is not None:
            self._learn(self._alone, decide)
        self.on_check(decide, self._head, self._body)

    def _learn(self, data: bytes, decide: Decide) -> None:
        head, size = self._head, len(self._body)
        raw = RawCheck(head.get(b"authorization"), None, head.get(b"accept-language", b""), self.url != CHECK_URL, size)
        self.known.learn(data, Known(self.url, decide, head, size, raw))

    # --- the fast lane -----------------------------------------------------------------------------------------------

    def on_check(self, decide: Decide, head: Head, body: bytes) -> None:
        """A check or a batch is there as a whole, and nothing before it is owed an answer."""
        outcome = decide(head, body)
        if isinstance(outcome, Answer):
            self._write(outcome)
            self.server_state.total_requests += 1
            return
        pending = Pending()
        self.cycle = pending  # type: ignore[assignment]
        self._await(outcome, pending)

    def _is_ordinary(self, head: Head) -> bool:
        parser, length = self.parser, head.get(b"content-length")
        return (
            parser.get_method() == b"POST"
            and length is not None
            and length.isdigit()
            and int(length) <= LIMIT
            and parser.should_keep_alive()
            and parser.get_http_version() == "1.1"
            and not parser.should_upgrade()
            and b"expect" not in head
            and self._is_free()
        )

    def _is_free(self) -> bool:
        """Whether an answer could leave at once."""
        cycle: Any = self.cycle  # _answering, written out: every check of an asked worker comes by here
        return (
            (cycle is None or cycle.response_complete) and not self.flow.write_paused and self.limit_concurrency is None
        )

    def _await(self, outcome: Coroutine[Any, Any, Answer], pending: Pending) -> asyncio.Task[None]:
        task = self.loop.create_task(self._answer_later(outcome, pending))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def _answer_later(self, outcome: Coroutine[Any, Any, Answer], pending: Pending) -> None:
        self._finish(pending, await outcome)

    def _finish(self, pending: Pending, answer: Answer) -> None:
        pending.response_complete = True
        if pending.disconnected or self.transport.is_closing():
            return
        if pending.keep_alive:
            self._write(answer)
        else:
            self._write(closing(answer))
            self.transport.close()
        self._since = self.loop.time()
        self.on_response_complete()


def _code_of(error: HttpParserError) -> str:
    """Whose fault it is. What one of our own callbacks raised the parser hands on as a context."""
    cause = error.__context__
    if isinstance(cause, _Refused):
        return str(cause)
    if isinstance(error, HttpParserCallbackError):
        logs.unexpected("connection", cause or error)
        return "freshness_unproven"
    return "request_malformed"
