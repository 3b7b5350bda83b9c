"""The checks' way past the framework: ASGI in, `Checks` and out. Everything else goes on to the control plane.

A FastAPI route with models costs ten times the check itself; nothing optional stands in front of this."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from lostid.api.body import LIMIT
from lostid.api.checks import Checks
from lostid.api.gate import Gate
from lostid.api.problems import Answer
from lostid.api.steps import Head, Outcome

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

Decide: TypeAlias = Callable[[Head, bytes], Outcome]

PATHS = CHECK, BATCH = ("/v1/checks", "/v1/checks/batch")
_PROBES = frozenset(("/livez", "/readyz"))


class Lane:
    """`others` is the control plane: lifespan, every other path, and every other method."""

    def __init__(self, others: App) -> None:
        self.gate = Gate(lambda authorization: self.checks.tenant(authorization))
        self._others = others
        self._decide: dict[str, Decide] = {}
        self._decide_url: dict[bytes, Decide] = {}

    def open(self, checks: Checks) -> None:
        """Once the lifespan has made them. The server does not listen before."""
        self.checks = checks
        self._decide = dict(zip(PATHS, (checks.check, checks.batch), strict=True))
        self._decide_url = {path.encode("ascii"): decide for path, decide in self._decide.items()}

    def decide_for(self, url: bytes) -> Decide | None:
        """What answers a POST to exactly this URL; None: the control plane, or whatever ASGI makes of it."""
        return self._decide_url.get(url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self.gate.late or scope["type"] != "http" or scope["path"] in _PROBES:
            await self._answer(scope, receive, send)
            return
        head, turn = dict(scope["headers"]), Turn()
        try:
            if self._lines_up(scope, head, turn) and await turn.comes():
                await self._answer(scope, receive, send)
            else:
                await answer_with(self.checks.overloaded(head), send)
        finally:
            turn.over()

    def _lines_up(self, scope: Scope, head: Head, turn: Turn) -> bool:
        authorization = head.get(b"authorization")
        if scope["path"] not in self._decide or scope["method"] != "POST":
            return self.gate.line_up_control(authorization, turn)
        announced = head.get(b"content-length", b"")[:9]
        size = int(announced) if announced.isdigit() else LIMIT
        if scope["path"] == BATCH:
            return self.gate.line_up_batch(authorization, size, turn)
        if self.gate.passes(authorization, size):
            turn.serve()
            return True
        return self.gate.line_up_check(authorization, size, turn)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        decide = self._decide.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if decide is None:
            await self._others(scope, receive, send)
            return
        head: Head = dict(scope["headers"])
        if b"expect" in head:  # RFC 9110 section 10.1.1: nobody is asked for a body that will not be looked at
            refused = await self.checks.admit_early(head, 0)
            if refused is not None:
                await answer_with(refused, send)
                return
        message = await receive()
        body: bytes = message.get("body", b"")
        if message.get("more_body", False):
            rest = await self._rest(head, body, receive)
            if not isinstance(rest, bytes):
                await answer_with(rest, send)
                return
            body = rest
        if message["type"] == "http.disconnect":
            return
        outcome = decide(head, body)
        await answer_with(outcome if isinstance(outcome, Answer) else await outcome, send)

    async def _rest(self, head: Head, first: bytes, receive: Receive) -> bytes | Answer:
        """A body in parts: who is refused without it is refused now, and nothing above the limit is kept."""
        parts, size, more = [first], len(first), True
        while more:
            if size > LIMIT or len(parts) == 1:
                refused = await self.checks.admit_early(head, size)
                if refused is not None:
                    return refused
            message = await receive()
            part: bytes = message.get("body", b"")
            parts.append(part)
            size += len(part)
            more = message.get("more_body", False)
        return b"".join(parts)


class Turn:
    """The ticket of a request that came by ASGI: its task waits for it."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._comes: asyncio.Future[bool] = loop.create_future()
        self._over: asyncio.Future[None] = loop.create_future()

    async def comes(self) -> bool:
        """False: not in time."""
        return await self._comes

    def over(self) -> None:
        """It was answered, or nobody waits for it any more."""
        self._over.set_result(None)

    def serve(self) -> asyncio.Future[None] | None:
        """Nothing is under way where the task was cancelled."""
        if self._comes.done():
            return None
        self._comes.set_result(True)
        return self._over

    def refuse(self) -> None:
        if not self._comes.done():
            self._comes.set_result(False)


async def answer_with(answer: Answer, send: Send) -> None:
    """The answer, as ASGI has it."""
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body})
