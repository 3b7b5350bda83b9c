"""How the recommended front lines requests up, and whom it refuses: before a host that answers when it is told to.

What it reckons with is made small (`CHANGES`): a host takes one check at a time, and one more request of the same key
counts as a second of waiting, so that no pause of this machine changes the order."""

import contextlib
import http.server
import json
import queue
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lostid.api.problems import Problem, render
from overload import front
from peers.contenders import Absent, accepts
from tests.clients.desks import number
from tests.serving import free_port
from tests.waiting import wait_for

CHANGES = {
    "    maxconn 20000": "    nbthread 1\n    maxconn 200",
    "slowstart 5s maxconn 12": "maxconn 1",
    "avg_queue(checks) gt 384": "avg_queue(checks) gt 7",
    "avg_queue(checks) gt 768": "avg_queue(checks) gt 12",
    "{ avg_queue(checks) gt 7 } { sc1_conn_cur gt 64 }": "{ avg_queue(checks) gt 7 } { sc1_conn_cur gt 3 }",
    "sc1_conn_cur,mul(4)": "sc1_conn_cur,mul(1000)",
    "timeout queue 200ms": "timeout queue 20s",
}
CHECK, BATCH, REPORT = "/v1/checks", "/v1/checks/batch", "/v1/reports"


@dataclass
class Host:
    """Knows the keys that begin with `known`. `asked`: who asked, in the order in which it was let through."""

    asked: "queue.Queue[str]" = field(default_factory=queue.Queue)
    may_answer: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def answer(self, name: str) -> tuple[int, bytes]:
        if name == "probe":
            return 200, b"{}"
        self.asked.put(name)
        assert self.may_answer.acquire(timeout=30)
        return (200 if name.startswith("known") else 401), b"{}"

    def next(self) -> str:
        """Who is let through next, once the last was answered."""
        name = self.asked.get(timeout=20)
        self.may_answer.release()
        return name


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    host: Host

    def do_GET(self) -> None:
        self.reply("probe")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.reply((self.headers["Authorization"] or "nobody").removeprefix("Bearer "))

    def reply(self, name: str) -> None:
        status, body = self.host.answer(name)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@dataclass
class Front:
    port: int
    host: Host
    ends: contextlib.ExitStack

    def send(self, key: str, path: str = CHECK, **headers: str) -> socket.socket:
        """A request on a connection of its own; what comes back is read with `received`."""
        connection = self.ends.enter_context(socket.create_connection(("127.0.0.1", self.port), 20))
        fields = {"Host": "x", "Content-Length": "2", "Authorization": f"Bearer {key}"}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        connection.sendall(f"POST {path} HTTP/1.1\r\n{head}\r\n{{}}".encode())
        return connection

    def introduce(self, *keys: str) -> None:
        """Each is answered once, so that the front knows it."""
        for key in keys:
            asked = self.send(key)
            assert self.host.next() == key
            assert received(asked)[0] == 200

    def fill(self, *keys: str) -> list[socket.socket]:
        """These ask, in this order: the first is let through, the others wait."""
        sent = [self.send(keys[0])]
        wait_for(lambda: not self.host.asked.empty(), 20, "the first one to be let through")
        for waiting, key in enumerate(keys[1:], 1):
            sent.append(self.send(key))
            wait_for(lambda waiting=waiting: self.waiting() == waiting, 20, f"{waiting} to wait")  # type: ignore[misc]
        return sent

    def waiting(self) -> int:
        """Checks that wait, as HAProxy itself counts them."""
        with socket.socket(socket.AF_UNIX) as admin:
            admin.connect(str(self.admin))
            admin.sendall(b"show stat checks 2 -1\n")
            told = b"".join(iter(lambda: admin.recv(65536), b"")).decode()
        names, values, *_ = [line.split(",") for line in told.splitlines()]
        return int(dict(zip(names, values, strict=True))["qcur"])

    admin: Path = Path()


def received(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer."""
    data = b""
    while b"\r\n\r\n" not in data or len(data.partition(b"\r\n\r\n")[2]) < length_in(data):
        part = connection.recv(65536)
        assert part, data
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}, body


def length_in(data: bytes) -> int:
    found = re.search(rb"(?i)content-length: (\d+)", data)
    assert found, data
    return int(found[1])


@pytest.fixture
def found(tmp_path: Path) -> Iterator[Front]:
    """A front before one such host."""
    host = Host()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"host": host}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = free_port()
    try:
        front.program()
    except Absent as absent:
        pytest.skip(str(absent))
    text = front.plain(port, server.server_address[1], CHANGES, tmp_path)
    try:
        with contextlib.ExitStack() as ends, front.started(text, tmp_path):
            wait_for(lambda: accepts(port), 20, "the front")
            yield Front(port, host, ends, tmp_path / "admin.sock")
    finally:
        host.may_answer.release(1_000)
        server.shutdown()
        server.server_close()


def test_who_has_least_under_way_is_next(found: Front) -> None:
    """Whoever asks much waits behind who asks little, also where it came first."""
    found.introduce("known-greedy", "known-modest")
    found.fill(*["known-greedy"] * 5, "known-modest")
    assert [found.host.next() for _ in range(6)] == ["known-greedy", "known-modest", *["known-greedy"] * 4]


def test_strangers_are_all_one(found: Front) -> None:
    """Made-up keys, each another, do not come before a key that a host has answered."""
    found.introduce("known-desk")
    strangers = [f"stranger-{place}" for place in range(5)]
    found.fill(*strangers, "known-desk")
    assert [found.host.next() for _ in range(6)] == [strangers[0], "known-desk", *strangers[1:]]
    found.fill(*strangers, "known-desk")  # having been refused has made none of them known
    assert [found.host.next() for _ in range(6)] == [strangers[0], "known-desk", *strangers[1:]]


def test_who_has_most_under_way_is_refused_first(found: Front) -> None:
    found.introduce("known-greedy", "known-modest")
    found.fill(*["known-greedy"] * 9)
    assert received(found.send("known-greedy"))[0] == 503
    modest = found.send("known-modest")
    assert [found.host.next() for _ in range(2)] == ["known-greedy", "known-modest"]
    assert received(modest)[0] == 200


def test_everybody_is_refused_when_too_many_wait(found: Front) -> None:
    keys = [f"known-{place}" for place in range(14)]
    found.introduce(*keys, "known-last")
    found.fill(*keys)
    assert received(found.send("known-last"))[0] == 503


def test_a_refusal_is_the_one_of_the_hosts(found: Front) -> None:
    """The problem that a host would send, in both languages; the request's own id, unless a number may be in it."""
    found.introduce("known-greedy")
    found.fill(*["known-greedy"] * 9)
    for language, zh in (("zh-CN,zh;q=0.9", True), ("en", False)):
        status, headers, body = received(found.send("known-greedy", Request_Id="desk_0001", Accept_Language=language))
        expected = render(Problem("overloaded"), "desk_0001", zh=zh)
        assert (status, json.loads(body)) == (expected.status, json.loads(expected.body))
        wanted = {name.decode(): value.decode() for name, value in expected.headers}
        for name in ("content-type", "request-id", "retry-after", "cache-control"):
            assert headers[name] == wanted[name]
    card = number()
    for sent in (card, f"{card[:6]}-{card[6:14]}_{card[14:]}", "a b c d e f", "short", 'x"y\\zzzzzzz'):
        _, headers, body = received(found.send("known-greedy", Request_Id=sent))
        assert re.fullmatch(r"req_[0-9a-f-]{36}", headers["request-id"])
        assert json.loads(body)["request_id"] == headers["request-id"]
        assert sent.encode() not in body


def test_reports_and_batches_do_not_wait_behind_checks(found: Front) -> None:
    found.introduce("known-desk")
    found.fill(*["known-desk"] * 5)
    assert found.host.asked.get(timeout=20) == "known-desk"
    for path in (REPORT, BATCH):
        found.send("known-police", path)
        assert found.host.asked.get(timeout=20) == "known-police"


def test_without_a_host(tmp_path: Path) -> None:
    """Nobody is there: a 503 of the same form, after the front has tried."""
    try:
        front.program()
    except Absent as absent:
        pytest.skip(str(absent))
    port = free_port()
    with contextlib.ExitStack() as ends, front.started(front.plain(port, free_port(), CHANGES, tmp_path), tmp_path):
        wait_for(lambda: accepts(port), 20, "the front")
        status, headers, body = received(Front(port, Host(), ends).send("known-desk"))
    assert (status, headers["retry-after"], headers["content-type"]) == (503, "1", "application/problem+json")
    problem = json.loads(body)
    assert problem == json.loads(render(Problem("overloaded"), problem["request_id"], zh=False).body)
    assert headers["request-id"] == problem["request_id"]
