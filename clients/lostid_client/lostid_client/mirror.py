"""`Mirror` and `AsyncMirror`: an answer in microseconds, in the caller's own process, of a declared age."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import date, datetime
from types import TracebackType
from typing import Any, Self

import httpx

from lostid_client.client import AsyncClient, boot_clock
from lostid_client.flow import Clock
from lostid_client.loop_thread import LoopThread, made_of
from lostid_client.mirror_flow import Follower
from lostid_client.mirror_state import MirrorAnswer, MirrorState
from lostid_client.models import Document


def _today() -> date:
    return datetime.now().astimezone().date()


class AsyncMirror:
    """A mirror that follows the registry in a task of the caller's loop: ``async with AsyncMirror(...) as mirror``.

    Args:
        url: where the registry is.
        key: an API key with the role ``mirror``.
        secret: what ``lostid keys mirror-secret`` printed for that key.
        max_age_s: how old an answer may be; beyond it `check` says ask.
        jwks: the registry's public keys, where they are to be pinned; otherwise they are fetched from it.
    """

    def __init__(
        self,
        url: str,
        key: str,
        secret: str,
        *,
        max_age_s: float,
        jwks: Mapping[str, Any] | None = None,
        clock: Clock = boot_clock,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.state = MirrorState(secret, max_age_s, clock)
        self._ready = asyncio.Event()
        self._follower = Follower(self.state, jwks, clock, _today, self._ready.set)
        self._client = AsyncClient(url, key, on_unavailable="refuse", clock=clock, transport=transport)
        self._task: asyncio.Task[None] | None = None

    def check(self, document: Document) -> MirrorAnswer:
        """Clear as of a moment that is at most ``max_age_s`` old, or ask: nothing else. Takes microseconds, no line.

        A filter knows numbers, not cards: it asks for every number that has a record, whichever card is meant.
        """
        return self.state.check(document)

    async def wait(self, seconds: float) -> bool:
        """Until it has something to answer from; False where that takes longer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ready.wait()
        return self._ready.is_set()

    async def follow(self) -> None:
        """Follow the registry until cancelled; `async with` does it in a task."""
        try:
            await self._client.run(self._follower.follow())
        finally:
            await self._client.aclose()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.follow())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task


class Mirror:
    """The same for threads: it follows the registry in a thread of its own. ``with Mirror(...) as mirror``.

    `check` may be called from any thread. Arguments as for `AsyncMirror`.
    """

    @made_of(AsyncMirror)
    def __init__(self, mirror: AsyncMirror) -> None:
        self.state = mirror.state
        self.check = mirror.state.check
        self._mirror = mirror
        self._loop = LoopThread("lostid-mirror")

    def wait(self, seconds: float) -> bool:
        """Until it has something to answer from; False where that takes longer."""
        return self._loop.run(self._mirror.wait(seconds))

    def close(self) -> None:
        """Stop following."""
        self._loop.close()

    def __enter__(self) -> Self:
        self._loop.start(self._mirror.follow())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
