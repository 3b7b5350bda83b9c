"""The fast lane of a worker that is asked too much: checks line up at the gate, or are refused as cheaply as can be.

As long as the worker is in time this adds one look at the gate to a request. What must hold: whoever lined up is
answered, in the order of the connection's requests; a refused request leaves the connection as it was."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from lostid.api.bounded_connection import closing
from lostid.api.connection import Deaf, Pending, Starts
from lostid.api.deadlines import Stage, Sweeper
from lostid.api.fast_lane import CHECK_URL, FastLane
from lostid.api.gate import Gate
from lostid.api.known_heads import KnownHeads
from lostid.api.lane import Decide, Lane
from lostid.api.problems import Answer
from lostid.api.raw_head import whole_check
from lostid.api.steps import Head

_BEYOND = 256  # connections above the limit that are told why before they are closed
# Who was refused and asks again so soon has not heard of Retry-After. Less than a rest: who comes back from one is read
# from once before it rests again. To rest costs two system calls, too much for those who ask 20 times a second.
_AT_ONCE_S = 0.015
_BETWEEN = Stage.BETWEEN


class Ticket:
    """A check that waits for its turn."""

    __slots__ = ("body", "connection", "decide", "head", "pending")

    def __init__(self, connection: PatientLane, decide: Decide, head: Head, body: bytes) -> None:
        self.connection, self.decide, self.head, self.body = connection, decide, head, body
        self.pending = Pending()

    def serve(self) -> asyncio.Task[None] | None:
        return self.connection.serve(self)

    def refuse(self) -> None:
        self.connection.refuse(self)


class PatientLane(FastLane):
    """One per connection. Made by `protocol_for`."""

    gate: ClassVar[Gate]
    _surplus = False
    _refused_at = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limit:
            self._surplus = True
            if len(self.connections) > self.limit + _BEYOND:
                transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._surplus:
            self._turn_away()
        elif self.gate.late and self._stage is _BETWEEN and self._is_free() and self._seen_to_unparsed(data):
            return
        super().data_received(data)

    def _turn_away(self) -> None:
        """Not before the client has asked: an answer to nothing, and then an end, would tell it nothing."""
        self._surplus = False
        self.parser = Deaf(self.transport)  # type: ignore[assignment]
        self._end(closing(self.lane.checks.overloaded({})))

    def _seen_to_unparsed(self, data: bytes) -> bool:
        """An ordinary check for which there is no room is refused before the parser sees it."""
        known = self.known.of(data)
        raw = whole_check(data) if known is None else known.raw
        if raw is None:
            return False
        has_room = self.gate.has_room(raw.authorization, batch=raw.batch)
        if has_room and known is None:
            return False
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
        if has_room and known is not None:
            self._on_known(known, data)
            return True
        before, now = self._refused_at, self.loop.time()
        self._since = self._refused_at = now
        self._write_overloaded(raw.request_id, raw.accept_language)
        if now - before < _AT_ONCE_S:
            self.gate.rest(self.transport)
        return True

    def on_check(self, decide: Decide, head: Head, body: bytes) -> None:
        gate, is_batch = self.gate, self.url != CHECK_URL
        if not gate.is_late() or (not is_batch and gate.passes(head.get(b"authorization"), len(body))):
            super().on_check(decide, head, body)
            return
        ticket = Ticket(self, decide, head, body)
        line_up = gate.line_up_batch if is_batch else gate.line_up_check
        if line_up(head.get(b"authorization"), len(body), ticket):
            self.cycle = ticket.pending  # type: ignore[assignment]
        else:
            self._write_overloaded(head.get(b"request-id"), head.get(b"accept-language", b""))

    def serve(self, ticket: Ticket) -> asyncio.Task[None] | None:
        """Its turn has come."""
        pending = ticket.pending
        if pending.disconnected or self.transport.is_closing():
            pending.response_complete = True
            return None
        outcome = ticket.decide(ticket.head, ticket.body)
        if isinstance(outcome, Answer):
            self._finish(pending, outcome)
            return None
        return self._await(outcome, pending)

    def refuse(self, ticket: Ticket) -> None:
        """It waited for nothing."""
        self._finish(ticket.pending, self.lane.checks.overloaded(ticket.head))

    def _write_overloaded(self, request_id: bytes | None, language: bytes) -> None:
        start = self.starts.of(503, self.server_state.default_headers)
        self.transport.write(start + self.lane.checks.overloaded_bytes(request_id, language))


def protocol_for(lane: Lane, limit: int) -> type[FastLane]:
    """The protocol class for `uvicorn.Config(http=...)` whose connections, `limit` at most, use this lane."""
    bound = {
        "lane": lane,
        "gate": lane.gate,
        "limit": limit,
        "sweeper": Sweeper(),
        "starts": Starts(),
        "known": KnownHeads(),
    }
    return type("BoundFastLane", (PatientLane,), bound)
