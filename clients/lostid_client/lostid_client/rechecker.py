"""What waits in the queue is made up for as soon as the line is back, without anybody having to think of it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from types import TracebackType
from typing import Self

from lostid_client.client import AsyncClient, Client
from lostid_client.errors import NoAnswer
from lostid_client.flow import Pause, Work
from lostid_client.recheck import RecheckQueue
from lostid_client.recheck_flow import OnHit, recheck


class _Looking:
    """Looks into a queue again and again; a flow that ends when it is told to."""

    def __init__(self, queue: RecheckQueue, client: Client | AsyncClient, on_hit: OnHit, every_s: float) -> None:
        self._queue = queue
        self._session = client.session
        self._on_hit = on_hit
        self._every_s = every_s
        self.stopped = threading.Event()
        self.problem: str | None = None

    def follow(self) -> Work[None]:
        while not self.stopped.is_set():
            try:
                yield from recheck(self._session, self._queue, self._on_hit)
                self.problem = None
            except NoAnswer as missing:
                self.problem = missing.cause
            except Exception as error:  # the caller's own `on_hit`, or a full disk: what waits must not be given up
                self.problem = type(error).__name__  # its text may quote what was asked
            yield Pause(self._every_s * random.uniform(0.5, 1.5))  # noqa: S311 -- not a secret


class Rechecker:
    """A thread that looks into a `RecheckQueue` again and again: ``with Rechecker(queue, client, on_hit)``.

    Args:
        client: a `Client`; it may be the one that fills the queue.
        on_hit: called, in this thread, for every answer that is not clear, before its row is deleted. Where it raises,
            the row stays, is checked again and handed over again.
        every_s: how long after the last look; about, so that not all desks of a country come back at the same moment.

    ``problem`` says why what waits still waits, or is None.
    """

    def __init__(self, queue: RecheckQueue, client: Client, on_hit: OnHit, *, every_s: float = 2.0) -> None:
        looking = self._looking = _Looking(queue, client, on_hit, every_s)
        work = (looking.follow(), looking.stopped.wait)
        self._thread = threading.Thread(target=client.run, args=work, name="lostid-recheck", daemon=True)

    @property
    def problem(self) -> str | None:
        """See the class."""
        return self._looking.problem

    def close(self) -> None:
        """Stop looking, after the look under way. What waits stays in the queue."""
        self._looking.stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncRechecker:
    """The same in a task of the caller's loop: ``async with AsyncRechecker(queue, client, on_hit)``.

    Arguments as for `Rechecker`, with an `AsyncClient`; what ``on_hit`` returns is awaited where it can be.
    """

    def __init__(self, queue: RecheckQueue, client: AsyncClient, on_hit: OnHit, *, every_s: float = 2.0) -> None:
        self._looking = _Looking(queue, client, on_hit, every_s)
        self._client = client
        self._task: asyncio.Task[None] | None = None

    @property
    def problem(self) -> str | None:
        """See `Rechecker`."""
        return self._looking.problem

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._client.run(self._looking.follow()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
