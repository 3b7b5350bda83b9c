"""A call ends with its deadline, whatever the server does; and with its client, whoever waits for it."""

import asyncio
import contextlib
import gc
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from lostid_client import Answer, AsyncClient, Client, LostidError
from lostid_client.flow import Flow, LineBroken, Send
from tests.clients.desks import card
from tests.waiting import wait_for

DRIPS = 1500
EVERY_S = 0.02
IN_THE_HEAD = b"HTTP/1.1 200 OK\r\nX-Slow: "
IN_THE_BODY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{"


@contextmanager
def dripping(at_once: bytes) -> Iterator[tuple[str, list[int]]]:
    """(a URL, how many bytes are left): each connection gets `at_once`, and then a byte now and then for half a minute,
    until it is closed."""
    left = [DRIPS]

    def serve() -> None:
        with contextlib.suppress(OSError):
            near, _ = listening.accept()
            with near:
                near.recv(1 << 16)
                near.sendall(at_once)
                while left[0]:
                    left[0] -= 1
                    near.sendall(b" ")
                    threading.Event().wait(EVERY_S)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", left
        thread.join()


@pytest.mark.parametrize("at_once", [IN_THE_HEAD, IN_THE_BODY], ids=["head", "body"])
@pytest.mark.parametrize("kind", ["threads", "asyncio"])
def test_a_server_that_drips(at_once: bytes, kind: str) -> None:
    """Each byte is soon there, the answer never: the deadline ends the call, and closes the connection."""

    def ask(url: str) -> Answer:
        with Client(url, "lid_live_x", on_unavailable="refuse", check_deadline_s=0.3) as client:
            return client.check(card(), operator="desk-1", purpose="other")

    async def ask_async(url: str) -> Answer:
        async with AsyncClient(url, "lid_live_x", on_unavailable="refuse", check_deadline_s=0.3) as client:
            return await client.check(card(), operator="desk-1", purpose="other")

    with dripping(at_once) as (url, left):
        answer = ask(url) if kind == "threads" else asyncio.run(ask_async(url))
    assert (answer.answered, answer.error) == (False, "timeout")
    assert left[0] > 0


async def test_what_came_before_the_end() -> None:
    """Is kept, where it was asked for."""
    received = bytearray()
    with dripping(IN_THE_BODY) as (url, _):
        async with AsyncClient(url, "lid_live_x", on_unavailable="refuse") as client:
            with pytest.raises(LineBroken):
                await client.send(Send("GET", "/", None, {}, 0.3, received=received))
    assert received.startswith(b"{ ")


async def _never(sent: httpx.Request) -> httpx.Response:
    await asyncio.Event().wait()
    raise AssertionError


def test_closed_meanwhile() -> None:
    """Who waits for an answer when the client is closed is told so, and does not wait for ever."""
    asked, told = threading.Event(), list[str]()

    async def never(sent: httpx.Request) -> httpx.Response:
        asked.set()
        return await _never(sent)

    client = Client("http://lostid", "lid_live_x", on_unavailable="refuse", transport=httpx.MockTransport(never))

    def ask() -> None:
        with pytest.raises(LostidError) as closed:
            client.run(_a_minute())
        told.append(str(closed.value))

    thread = threading.Thread(target=ask)
    thread.start()
    assert asked.wait(20)
    client._loop.close()
    thread.join()
    assert told == ["closed meanwhile"]
    with pytest.raises(LostidError, match="closed"):
        client.check(card(), operator="desk-1", purpose="other")


def _a_minute() -> Flow[None]:
    yield Send("GET", "/", None, {}, 60.0)


def test_forgotten() -> None:
    """A client that nobody holds any more leaves no thread behind, closed or not."""

    def clear(sent: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"status": "clear", "advice": "proceed", "fresh_for_ms": 900})

    client = Client("http://lostid", "lid_live_x", on_unavailable="refuse", transport=httpx.MockTransport(clear))
    assert client.check(card(), operator="desk-1", purpose="other").clear
    thread = client._loop._thread
    assert thread is not None
    assert thread.is_alive()
    del client
    gc.collect()
    wait_for(lambda: not thread.is_alive(), 20, "the thread's end")


FORKED = """
import os
from lostid_client import Client, LostidError
client = Client("http://127.0.0.1:9", "lid_live_x", on_unavailable="refuse")
ask = lambda: client.check({"type": "cn.passport", "number": "E00000000"}, operator="desk-1", purpose="other").error
if os.fork() == 0:
    os._exit(0 if ask() == "unreachable" else 1)
before = os.wait()[1]
ask()
if os.fork() == 0:
    try:
        ask()
    except LostidError as error:
        os._exit(0 if "fork" in str(error) else 1)
print(before, os.wait()[1])
"""


def test_after_a_fork() -> None:
    """Made before a fork and used after it, it works; used before it, it says so, and does not hang."""
    library = Path(__file__).parents[2] / "clients" / "lostid_client"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED],
        cwd=library, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["0", "0"]
