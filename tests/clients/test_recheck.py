"""The durable queue: nothing that proceeded without an answer is forgotten, and its file tells nobody anything."""

import asyncio
import itertools
import json
import threading
from pathlib import Path

import httpx
import pytest

from lostid_client import (
    AsyncClient,
    AsyncRechecker,
    Client,
    LostidError,
    NoAnswer,
    QueueFull,
    Recheck,
    Rechecker,
    RecheckQueue,
    WrongQueueKey,
)
from tests.waiting import wait_for

KEY = bytes(range(32))
NUMBER = "11010519491231002X"


def request(n: int) -> dict[str, object]:
    document = {"type": "cn.resident-id", "number": NUMBER}
    return {"document": document, "operator": "desk-1", "purpose": "hotel.check_in", "reference": f"booking-{n}"}


def client(answer: dict[str, object] | None) -> Client:
    """A client whose line is down (None) or answers every document the same way."""

    def handle(sent: httpx.Request) -> httpx.Response:
        if answer is None:
            raise httpx.ConnectError("down")
        checks = json.loads(sent.content)["checks"]
        results = [{**answer, "reference": check["reference"]} for check in checks]
        return httpx.Response(200, json={"id": "chk_1", "fresh_for_ms": 900, "results": results})

    return Client("http://lostid", "lid_live_x", on_unavailable="refuse", transport=httpx.MockTransport(handle))


def test_survives_a_restart_sealed(tmp_path: Path) -> None:
    """Rows outlive the process, and neither number nor reference stands in the file."""
    queue = RecheckQueue(tmp_path / "queue", KEY)
    for n in range(3):
        queue.put(request(n))
    for file in tmp_path.iterdir():
        assert NUMBER.encode() not in file.read_bytes()
        assert b"booking" not in file.read_bytes()
    queue.close()
    again = RecheckQueue(tmp_path / "queue", KEY)
    assert len(again) == 3
    again.close()


def test_recheck_calls_back_for_hits(tmp_path: Path) -> None:
    """Once the line is back, each adverse answer is handed over with what was asked, and the row is gone."""
    queue = RecheckQueue(tmp_path / "queue", KEY)
    for n in range(1200):
        queue.put(request(n))
    hits: list[Recheck] = []
    with client({"status": "reported", "advice": "refuse"}) as line:
        assert line.recheck(queue, hits.append) == 1200
    assert [hit.request["reference"] for hit in hits] == [f"booking-{n}" for n in range(1200)]
    assert {hit.answer.status for hit in hits} == {"reported"}
    assert len(queue) == 0
    queue.close()


def test_clear_calls_nobody(tmp_path: Path) -> None:
    """A clear answer empties the row without a call."""
    queue = RecheckQueue(tmp_path / "queue", KEY)
    queue.put(request(1))
    hits: list[Recheck] = []
    with client({"status": "clear", "advice": "proceed"}) as line:
        assert line.recheck(queue, hits.append) == 1
    assert hits == []
    queue.close()


def test_line_still_down(tmp_path: Path) -> None:
    """While there is no answer nothing leaves the queue."""
    queue = RecheckQueue(tmp_path / "queue", KEY)
    queue.put(request(1))
    with client(None) as line, pytest.raises(NoAnswer):
        line.recheck(queue, lambda hit: None)
    assert len(queue) == 1
    queue.close()


def test_crash_in_the_callback(tmp_path: Path) -> None:
    """A row is deleted only after its hit was handed over: a crash there hands it over once more."""
    queue = RecheckQueue(tmp_path / "queue", KEY)
    queue.put(request(1))

    def crash(hit: Recheck) -> None:
        raise RuntimeError("crash")

    with client({"status": "void", "advice": "refuse"}) as line:
        with pytest.raises(RuntimeError):
            line.recheck(queue, crash)
        hits: list[Recheck] = []
        line.recheck(queue, hits.append)
    assert len(hits) == 1
    queue.close()


def test_full_queue_permits_nobody(tmp_path: Path) -> None:
    """Beyond its size the queue refuses: nobody proceeds without a recheck."""
    queue = RecheckQueue(tmp_path / "queue", KEY, most=2)
    queue.put(request(1))
    queue.put(request(2))
    with pytest.raises(QueueFull):
        queue.put(request(3))
    queue.close()


def test_wrong_key(tmp_path: Path) -> None:
    """Another key opens nothing."""
    queue = RecheckQueue(tmp_path / "queue", KEY)
    queue.put(request(1))
    queue.close()
    other = RecheckQueue(tmp_path / "queue", bytes(32))
    with client({"status": "clear"}) as line, pytest.raises(WrongQueueKey):
        line.recheck(other, lambda hit: None)
    other.close()


def test_policies(tmp_path: Path) -> None:
    """The caller's policy stands in for a missing answer, says so, and queues what proceeds."""
    queue = RecheckQueue(tmp_path / "queue", KEY)

    def down(sent: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("down")

    for policy, advice in (("refuse", "refuse"), ("ask_person", "ask_person"), ("proceed_and_recheck", "proceed")):
        with Client(
            "http://lostid",
            "lid_live_x",
            on_unavailable=policy,  # type: ignore[arg-type]
            queue=queue,
            transport=httpx.MockTransport(down),
        ) as line:
            answer = line.check(
                {"type": "cn.resident-id", "number": NUMBER}, operator="desk-1", purpose="hotel.check_in"
            )
        assert (answer.status, answer.advice, answer.answered, answer.clear) == ("unavailable", advice, False, False)
    assert len(queue) == 1
    queue.close()


def test_made_up_for_as_soon_as_the_line_is_back(tmp_path: Path) -> None:
    """Nobody has to ask for it; a hit whose callback fails is handed over again, and is not lost."""
    queue = RecheckQueue(tmp_path / "queue", KEY)
    up, tries, hits = threading.Event(), itertools.count(), list[Recheck]()

    def handle(sent: httpx.Request) -> httpx.Response:
        if not up.is_set():
            raise httpx.ConnectError("down")
        results = [{"status": "reported", "advice": "refuse"} for _ in json.loads(sent.content)["checks"]]
        return httpx.Response(200, json={"id": "chk_1", "fresh_for_ms": 900, "results": results})

    def on_hit(hit: Recheck) -> None:
        if next(tries) == 0:
            raise OSError("the printer is out of paper")
        hits.append(hit)

    line = Client("http://lostid", "lid_live_x", on_unavailable="refuse", transport=httpx.MockTransport(handle))
    with line, Rechecker(queue, line, on_hit, every_s=0.02) as rechecker:
        queue.put(request(1))
        wait_for(lambda: rechecker.problem == "unreachable", 20, "a look")
        assert len(queue) == 1
        up.set()
        wait_for(lambda: len(queue) == 0, 20, "made up for")
        assert [hit.request["reference"] for hit in hits] == ["booking-1"]
        assert next(tries) == 2
        wait_for(lambda: rechecker.problem is None, 20, "no problem any more")
        queue.put(request(2))
        wait_for(lambda: len(hits) == 2, 20, "the next one")
    queue.close()


async def test_for_asyncio(tmp_path: Path) -> None:
    """The same flow in a task: what the callback returns is awaited before the row is deleted."""
    queue, hits = RecheckQueue(tmp_path / "queue", KEY), list[int]()
    for n in range(3):
        queue.put(request(n))

    def handle(sent: httpx.Request) -> httpx.Response:
        answers = ("clear", "proceed"), ("reported", "refuse"), ("clear", "proceed")
        return httpx.Response(
            200, json={"fresh_for_ms": 900, "results": [{"status": status, "advice": told} for status, told in answers]}
        )

    async def on_hit(hit: Recheck) -> None:
        await asyncio.sleep(0)
        hits.append(len(queue))

    transport = httpx.MockTransport(handle)
    async with (
        AsyncClient("http://lostid", "lid_live_x", on_unavailable="refuse", transport=transport) as line,
        AsyncRechecker(queue, line, on_hit, every_s=0.02) as rechecker,
    ):
        await asyncio.to_thread(wait_for, lambda: len(queue) == 0, 20, "made up for")
    assert hits == [1]
    assert rechecker.problem is None
    queue.close()


def test_a_callback_that_is_never_awaited(tmp_path: Path) -> None:
    """A thread cannot await: the row of a hit that nobody heard of stays."""
    queue = RecheckQueue(tmp_path / "queue", KEY)
    queue.put(request(1))

    async def on_hit(hit: Recheck) -> None:
        raise AssertionError

    with client({"status": "void", "advice": "refuse"}) as line, pytest.raises(LostidError, match="AsyncClient"):
        line.recheck(queue, on_hit)
    assert len(queue) == 1
    queue.close()
