"""`Client` and `AsyncClient`: two drivers of the same flows. Each call is bound once, from `calls`, with its types."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import httpx

from lostid_client import calls, imports, line, recheck_flow
from lostid_client.calls import OnUnavailable, Session
from lostid_client.errors import LostidError
from lostid_client.flow import CHECK_DEADLINE_S, Clock, LineBroken, Pause, Reply, Send, Step, Work
from lostid_client.loop_thread import LoopThread, made_of
from lostid_client.recheck import RecheckQueue

P = ParamSpec("P")
T = TypeVar("T")


def boot_clock() -> float:
    """Seconds that never go back and do not stop while the machine sleeps (CLOCK_BOOTTIME where there is one)."""
    source = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if source is None else time.clock_gettime(source)


def _bound(call: Callable[Concatenate[Session, P], Work[T]]) -> Callable[Concatenate[Client, P], T]:
    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.run(call(self.session, *args, **kwargs))

    functools.update_wrapper(method, call)
    return method


def _bound_async(
    call: Callable[Concatenate[Session, P], Work[T]],
) -> Callable[Concatenate[AsyncClient, P], Awaitable[T]]:
    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.run(call(self.session, *args, **kwargs))

    functools.update_wrapper(method, call)
    return method


class AsyncClient:
    """A connection to the registry for asyncio.

    Args:
        url: where the registry is, e.g. ``https://lostid.example``.
        key: the API key (``lid_live_...`` or ``lid_test_...``).
        on_unavailable: what a check says when there is no answer; the caller decides, there is no default.
        queue: where ``proceed_and_recheck`` keeps its checks; required for it.
        check_deadline_s: how long a check may take, its retry included.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        on_unavailable: OnUnavailable,
        queue: RecheckQueue | None = None,
        check_deadline_s: float = CHECK_DEADLINE_S,
        clock: Clock = boot_clock,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.session = _session(on_unavailable, queue, clock, check_deadline_s)
        self._http = httpx.AsyncClient(base_url=url, headers=_headers(key), transport=transport)

    check = _bound_async(calls.check)
    check_many = _bound_async(calls.check_many)
    ask_many = _bound_async(calls.ask_many)
    report = _bound_async(calls.report)
    withdraw = _bound_async(calls.withdraw)
    approve = _bound_async(calls.approve)
    history = _bound_async(calls.history)
    as_of = _bound_async(calls.as_of)
    jwks = _bound_async(calls.jwks)
    import_file = _bound_async(imports.import_file)
    import_status = _bound_async(imports.import_status)
    release_import = _bound_async(imports.release_import)
    recheck = _bound_async(recheck_flow.recheck)

    async def run(self, flow: Work[T]) -> T:
        """Run a flow to its end."""
        try:
            step = next(flow)
            while True:
                try:
                    reply = await self._do(step)
                except Exception as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(reply)
        except StopIteration as done:
            result: T = done.value
            return result

    async def _do(self, step: Step) -> Reply | None:
        if isinstance(step, Send):
            return await self.send(step)
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
        elif inspect.isawaitable(called := step.run()):
            await called
        return None

    async def send(self, send: Send) -> Reply:
        """One request and its whole answer, within its time however slowly either goes.

        Raises:
            LineBroken: there was none.
        """
        upload = send.upload
        content = None if upload is None else line.chunks(upload)
        arguments = {**_arguments(send), "content": content, "extensions": {"timeout": line.timeouts(send)}}
        try:
            async with asyncio.timeout(send.timeout_s if upload is None else None):
                async with self._http.stream(send.method, send.path, **arguments) as response:
                    received = bytearray() if send.received is None else send.received
                    async for chunk in response.aiter_bytes():
                        received += chunk
                    return _reply(response, bytes(received))
        except httpx.HTTPError as error:
            raise _line_broken(error) from error
        except TimeoutError as error:
            raise LineBroken("timeout") from error

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class Client:
    """A connection to the registry for threads: one instance may be shared. Arguments as for `AsyncClient`.

    Its requests are made by an `AsyncClient` in a thread of its own, so that a deadline ends them wherever they are;
    all else happens in the caller's thread. Where a process forks, make one in each.
    """

    @made_of(AsyncClient)
    def __init__(self, client: AsyncClient) -> None:
        self.session = client.session
        self._client = client
        self._loop = LoopThread("lostid-client")

    check = _bound(calls.check)
    check_many = _bound(calls.check_many)
    ask_many = _bound(calls.ask_many)
    report = _bound(calls.report)
    withdraw = _bound(calls.withdraw)
    approve = _bound(calls.approve)
    history = _bound(calls.history)
    as_of = _bound(calls.as_of)
    jwks = _bound(calls.jwks)
    import_file = _bound(imports.import_file)
    import_status = _bound(imports.import_status)
    release_import = _bound(imports.release_import)
    recheck = _bound(recheck_flow.recheck)

    def run(self, flow: Work[T], pause: Callable[[float], object] = time.sleep) -> T:
        """Run a flow to its end."""
        try:
            step = next(flow)
            while True:
                try:
                    reply = self._do(step, pause)
                except Exception as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(reply)
        except StopIteration as done:
            result: T = done.value
            return result

    def _do(self, step: Step, pause: Callable[[float], object]) -> Reply | None:
        if isinstance(step, Send):
            return self._loop.run(self._client.send(step))
        if isinstance(step, Pause):
            pause(step.seconds)
        elif inspect.iscoroutine(called := step.run()):
            called.close()
            raise LostidError("a function that is to be awaited belongs to an AsyncClient")
        return None

    def close(self) -> None:
        """Close the connections."""
        if self._loop.running:
            self._loop.run(self._client.aclose())
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _session(
    on_unavailable: OnUnavailable, queue: RecheckQueue | None, clock: Clock, check_deadline_s: float
) -> Session:
    if on_unavailable not in ("refuse", "ask_person", "proceed_and_recheck"):
        raise LostidError("on_unavailable is refuse, ask_person or proceed_and_recheck")
    if on_unavailable == "proceed_and_recheck" and queue is None:
        raise LostidError("proceed_and_recheck needs a queue to keep its checks in")
    return Session(on_unavailable, clock, queue, check_deadline_s)


def _headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", "Accept": "application/json"}


def _arguments(send: Send) -> dict[str, Any]:
    headers = dict(send.headers)
    if send.upload is not None:
        headers["Content-Type"] = send.upload.media
    arguments: dict[str, Any] = {"headers": headers, "params": send.params}
    if send.body is not None:
        arguments["json"] = send.body
    return arguments


def _reply(response: httpx.Response, content: bytes) -> Reply:
    try:
        body = json.loads(content) if content and _is_json(response) else {}
    except ValueError:  # a proxy's page in place of an answer
        body = {}
    return Reply(response.status_code, response.headers, body if isinstance(body, Mapping) else {}, content)


def _is_json(response: httpx.Response) -> bool:
    return "json" in response.headers.get("content-type", "json")


def _line_broken(error: httpx.HTTPError) -> LineBroken:
    return LineBroken("timeout" if isinstance(error, httpx.TimeoutException) else "unreachable")
