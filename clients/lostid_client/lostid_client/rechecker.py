"""What waits in the queue is made up for as soon as the line is back, without anybody having to think of it."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from lostid_client.errors import NoAnswer
from lostid_client.recheck import Asks, Recheck, RecheckQueue


class Rechecker:
    """A thread that looks into a `RecheckQueue` again and again: ``with Rechecker(queue, client, on_hit)``.

    Args:
        client: a `Client`; it may be the one that fills the queue.
        on_hit: called, in this thread, for every answer that is not clear, before its row is deleted. Where it raises,
            the row stays, is checked again and handed over again.
        every_s: how long after the last look; about, so that not all desks of a country come back at the same moment.

    ``problem`` says why what waits still waits, or is None.
    """

    def __init__(
        self, queue: RecheckQueue, client: Asks, on_hit: Callable[[Recheck], None], *, every_s: float = 2.0
    ) -> None:
        self._queue = queue
        self._client = client
        self._on_hit = on_hit
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lostid-recheck", daemon=True)
        self.problem: str | None = None

    def _run(self) -> None:
        while not self._stop.is_set():
            self._look()
            self._stop.wait(self._every_s * random.uniform(0.5, 1.5))  # noqa: S311 -- not a secret

    def _look(self) -> None:
        try:
            self._queue.recheck(self._client, self._on_hit)
            self.problem = None
        except NoAnswer as missing:
            self.problem = missing.cause
        except Exception as error:  # the caller's own `on_hit`, or a full disk: what waits must not be given up
            self.problem = type(error).__name__  # its text may quote what was asked

    def close(self) -> None:
        """Stop looking, after the look under way. What waits stays in the queue."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
