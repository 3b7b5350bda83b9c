"""The checks' way past the framework: ASGI in, `Checks` and out. Everything else goes on to the control plane.

A FastAPI route with models costs ten times the check itself; nothing optional stands in front of this."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from lostid.api.body import LIMIT
from lostid.api.checks import Checks
from lostid.api.problems import Answer
from lostid.api.steps import Head, Outcome

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

Decide: TypeAlias = Callable[[Head, bytes], Outcome]

PATHS = ("/v1/checks", "/v1/checks/batch")


class Lane:
    """`others` is the control plane: lifespan, every other path, and every other method."""

    def __init__(self, others: App) -> None:
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


async def answer_with(answer: Answer, send: Send) -> None:
    """The answer, as ASGI has it."""
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body})
