"""An asyncio loop in a thread of its own: how blocking callers use what is written for asyncio."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from lostid_client.errors import LostidError

P = ParamSpec("P")
S = TypeVar("S")
M = TypeVar("M")
T = TypeVar("T")
_LEAVE_S = 5.0


class LoopThread:
    """A loop that runs from its first use until it is closed, or until nobody holds this object any more.

    A blocking socket knows a limit for each read and none for a whole answer, and none at all for looking up a name: a
    server that drips would hold its caller for ever. A coroutine can be given up wherever it is.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stop: weakref.finalize[[asyncio.AbstractEventLoop, asyncio.Event], LoopThread] | None = None
        self._process = 0
        self._closed = False

    def start(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Begin; where it was closed, or made before a fork, `LostidError`."""
        try:
            loop = self._running()
        except LostidError:
            work.close()
            raise
        return asyncio.run_coroutine_threadsafe(work, loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Begin, and wait for its end. An interrupted caller ends it."""
        future = self.start(work)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise LostidError("closed meanwhile") from None
        finally:
            future.cancel()

    def close(self) -> None:
        """End whatever is under way, and the thread."""
        with self._lock:
            self._closed = True
        if self._stop is not None and self._thread is not None and self._process == os.getpid():
            self._stop()
            self._thread.join(_LEAVE_S)  # a name that is being looked up cannot be given up

    @property
    def running(self) -> bool:
        """Whether it was ever used, and not closed."""
        return self._loop is not None and not self._closed

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._closed:
                raise LostidError("it was closed")
            if self._loop is None:
                told: concurrent.futures.Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]
                told = concurrent.futures.Future()
                # Nothing in the thread holds this object, so that it ends with its last user.
                self._thread = threading.Thread(target=_main, args=(told,), name=self._name, daemon=True)
                self._thread.start()
                self._loop, ended = told.result()
                self._stop = weakref.finalize(self, _end, self._loop, ended)
                self._stop.atexit = False
                self._process = os.getpid()
            elif self._process != os.getpid():
                raise LostidError("it does not outlive a fork: make one in each process")
            return self._loop


def _main(told: concurrent.futures.Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
    async def until_ended() -> None:
        ended = asyncio.Event()
        told.set_result((asyncio.get_running_loop(), ended))
        await ended.wait()

    asyncio.run(until_ended())  # gives up what is still under way


def _end(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    with contextlib.suppress(RuntimeError):  # closed already
        loop.call_soon_threadsafe(ended.set)


def made_of(make: Callable[P, M]) -> Callable[[Callable[[S, M], None]], Callable[Concatenate[S, P], None]]:
    """Turn ``__init__(self, made)`` into one that takes the parameters of `make`: they are written down once."""

    def of(init: Callable[[S, M], None]) -> Callable[Concatenate[S, P], None]:
        def made(self: S, /, *args: P.args, **kwargs: P.kwargs) -> None:
            init(self, make(*args, **kwargs))

        return functools.update_wrapper(made, cast(Any, make).__init__)

    return of
