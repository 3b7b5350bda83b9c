"""How a mirror follows the registry: snapshot, then changes, for ever. A flow without I/O, as in `flow`."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from lostid_client.errors import LostidError, MirrorRefused, NoAnswer, NotAuthorised, refusal
from lostid_client.flow import Clock, Flow, LineBroken, Pause, Reply, Send, retry_after
from lostid_client.mirror_parts import Begun, begun_of, joined
from lostid_client.mirror_state import Copy, MirrorState, take

SNAPSHOT_DEADLINE_S = 600.0
_MOST_WAIT_S = 20
_ON_TOP_S = 5.0
_PAUSE_S = (0.2, 5.0)
_NOT_AUTHORISED_PAUSE_S = 15.0
_KEEP_S = (1 * 3600.0, 24 * 3600.0)
"""A full filter is replaced no sooner than the first, any filter after the second."""

Today = Callable[[], date]


class Follower:
    """One mirror's way: what it has, and what it has to ask for next."""

    def __init__(
        self,
        state: MirrorState,
        jwks: Mapping[str, Any] | None,
        clock: Clock,
        today: Today,
        published: Callable[[], None],
    ) -> None:
        self._state = state
        self._published = published
        # Nothing new, nothing said: a question that waits longer than this would let the answers grow too old.
        self._wait_s = max(1, min(_MOST_WAIT_S, int(state.max_age_s / 3)))
        self._caught_up = False
        self._pinned = self._jwks = jwks
        self._clock = clock
        self._today = today
        self.copy: Copy | None = None
        self._begun: Begun | None = None
        self._keep_s = _KEEP_S[1] * random.uniform(0.8, 1.0)  # noqa: S311 -- so that not all mirrors come at once

    def follow(self) -> Flow[None]:
        """Never ends by itself. Whatever goes wrong, the last state stays what it is and grows old."""
        pause = _PAUSE_S[0]
        while True:
            wait: float | None = None
            try:
                yield from self._step()
                pause = _PAUSE_S[0]
                continue
            except NotAuthorised as refused:
                self.copy = None
                self._state.drop("not_authorised")
                self._state.problem, wait = str(refused), _NOT_AUTHORISED_PAUSE_S
            except MirrorRefused as refused:
                self._jwks = self._pinned  # it may have a new signing key
                self._state.problem = str(refused)
            except _Later as later:
                self._state.problem, wait = str(later), later.wait
            except (LostidError, LineBroken) as broken:
                self._state.problem = str(broken)
            yield Pause((pause if wait is None else wait) * random.uniform(0.8, 1.2))  # noqa: S311
            pause = min(2 * pause, _PAUSE_S[1])

    def _step(self) -> Flow[None]:
        if self._jwks is None:
            self._jwks = (yield from _get("/.well-known/jwks.json", {}, _ON_TOP_S)).body
        copy = self.copy
        if copy is None or self._outworn(copy):
            content = yield from self._snapshot()
            copy = self.copy = self._state.load(content, self._jwks, self._clock())
            self._caught_up = False
        yield from self._changes(copy, self._jwks)

    def _snapshot(self) -> Flow[bytes]:
        begun, came = self._begun, bytearray()
        asked = {} if begun is None else {"from": str(len(begun.bits)), "sha256": begun.sha256}
        try:
            reply = yield from _get("/v1/mirror/snapshot", asked, SNAPSHOT_DEADLINE_S, came)
        except LineBroken:
            self._begun = begun_of(joined(begun, bytes(came))) or begun
            raise
        self._begun = None
        return joined(begun, reply.content)

    def _changes(self, copy: Copy, jwks: Mapping[str, Any]) -> Flow[None]:
        wait_s = self._wait_s if self._caught_up else 0
        nonce = secrets.token_urlsafe(16)
        asked = {"since": str(copy.seq), "nonce": nonce, "wait": str(wait_s)}
        sent = self._clock()  # before the question leaves: the age is counted from here
        reply = yield from _get("/v1/mirror/changes", asked, wait_s + _ON_TOP_S)
        statement = self._state.read(reply.body, jwks, copy, nonce)
        if statement is None:
            self.copy = None
            raise NoAnswer("the registry is on another chain; a new snapshot is taken")
        take(copy, statement)
        self._caught_up = not statement.more
        if self._caught_up:
            self._state.publish(copy, statement, sent, self._today())
            self._published()

    def _outworn(self, copy: Copy) -> bool:
        age = self._clock() - copy.taken
        return age > (_KEEP_S[0] if copy.full else self._keep_s)


class _Later(NoAnswer):
    """The server says when to come again."""

    def __init__(self, cause: str, wait: float) -> None:
        super().__init__(cause)
        self.wait = wait


def _get(path: str, params: Mapping[str, str], timeout_s: float, received: bytearray | None = None) -> Flow[Reply]:
    reply = yield Send("GET", path, None, {}, timeout_s, params, received=received)
    assert reply is not None  # noqa: S101 -- the drivers' contract: a Send is answered by a Reply
    if reply.status == 200:
        return reply
    if reply.status == 429 or reply.status >= 500:
        cause, wait = str(reply.body.get("code", f"http_{reply.status}")), retry_after(reply)
        raise NoAnswer(cause) if wait is None else _Later(cause, wait)
    raise refusal(reply.status, reply.body)
