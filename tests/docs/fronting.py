"""A front before a host that answers when it is told to."""

import contextlib
import http.server
import queue
import re
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from overload import front
from peers.contenders import Absent, accepts
from tests.serving import free_port
from tests.waiting import wait_for

CHANGES = {
    "    maxconn 20000": "    nbthread 1\n    maxconn 200",
    "shutdown-sessions maxconn 12": "shutdown-sessions maxconn 1",
    "timeout server 5s": "timeout server 30s",
    "{ avg_queue(checks) gt 384 } { sc1_conn_cur gt 64 }": "{ avg_queue(checks) gt 7 } { sc1_conn_cur gt 3 }",
    "avg_queue(checks) gt 768": "avg_queue(checks) gt 12",
    "{ avg_queue(batches) gt 32 } { sc1_conn_cur gt 4 }": "{ avg_queue(batches) gt 7 } { sc1_conn_cur gt 3 }",
    "avg_queue(batches) gt 64": "avg_queue(batches) gt 12",
    "{ avg_queue(control) gt 128 } { sc1_conn_cur gt 8 }": "{ avg_queue(control) gt 7 } { sc1_conn_cur gt 3 }",
    "sc1_conn_cur,mul(4)": "sc1_conn_cur,mul(1000)",
    "default-server maxconn 16": "default-server maxconn 1",
    "default-server maxconn 256": "default-server maxconn 1",
    "timeout queue 200ms": "timeout queue 20s",
    "timeout queue 500ms": "timeout queue 20s",
}
CHECK, BATCH, REPORT = "/v1/checks", "/v1/checks/batch", "/v1/reports"
LINES = {CHECK: "checks", BATCH: "batches", REPORT: "control"}


@dataclass
class Host:
    """Knows the keys that begin with `known`.

    `asked`: who asked, in the order in which it was let through; `heard`: the heads of all requests but probes."""

    asked: "queue.Queue[str]" = field(default_factory=queue.Queue)
    heard: list[Message] = field(default_factory=list)
    ready: bool = True
    holds_reads: bool = False  # else they are answered at once
    revoked: set[str] = field(default_factory=set)
    may_answer: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def answer(self, name: str) -> tuple[int, bytes]:
        if name in ("probe", "nobody"):
            return (200 if name == "probe" else 503), b"{}"
        self.asked.put(name)
        assert self.may_answer.acquire(timeout=30)
        return (200 if name.startswith("known") and name not in self.revoked else 401), b"{}"

    def next(self) -> str:
        """Who is let through next, once the last was answered."""
        name = self.asked.get(timeout=20)
        self.may_answer.release()
        return name


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    host: Host

    def do_GET(self) -> None:
        if self.host.holds_reads and self.path != "/readyz":
            self.reply("known-reader")
        else:
            self.reply("probe" if self.host.ready else "nobody")

    def do_POST(self) -> None:
        self.host.heard.append(self.headers)
        length = int(self.headers.get("Content-Length", "1000000"))  # of chunks: until the front gives up
        broke_off = len(self.rfile.read(length)) < length and "Content-Length" in self.headers
        name = (self.headers["Authorization"] or "stranger").split()[-1]
        if name == "breaks-off" or broke_off:
            self.close_connection = True
        else:
            self.reply(name)

    def reply(self, name: str) -> None:
        status, body = self.host.answer(name)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self) -> None:
        self.do_POST()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        """The front went away."""


@dataclass
class Front:
    port: int
    host: Host
    ends: contextlib.ExitStack

    def send(self, key: str, path: str = CHECK, method: str = "POST", **headers: str) -> socket.socket:
        """A request on a connection of its own; what comes back is read with `received`."""
        fields = {"Host": "x", "Content-Length": "2", "Authorization": f"Bearer {key}"}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return self.raw(f"{method} {path} HTTP/1.1\r\n{head}\r\n{{}}".encode())

    def raw(self, sent: bytes, source: str = "127.0.0.1") -> socket.socket:
        """These bytes, on a connection of its own from this address of the machine."""
        connection = self.ends.enter_context(socket.create_connection(("127.0.0.1", self.port), 20, (source, 0)))
        connection.sendall(sent)
        return connection

    def begin(self, key: str, source: str = "127.0.0.1") -> socket.socket:
        return self.raw(begun(key), source)

    def introduce(self, *keys: str) -> None:
        """Each is answered once, so that the front knows it."""
        for key in keys:
            asked = self.send(key)
            assert self.host.next() == key
            assert received(asked)[0] == 200

    def fill(self, *keys: str, path: str = CHECK) -> list[socket.socket]:
        """These ask, in this order: the first is let through, the others wait."""
        sent = [self.send(keys[0], path)]
        wait_for(lambda: not self.host.asked.empty(), 20, "the first one to be let through")
        for waiting, key in enumerate(keys[1:], 1):
            sent.append(self.send(key, path))
            self.await_waiting(waiting, path)
        return sent

    def await_waiting(self, requests: int, path: str = CHECK) -> None:
        """Until so many wait in the line of this path."""
        wait_for(lambda: int(self.told(LINES[path], 2)["qcur"]) == requests, 20, f"{requests} to wait")

    def await_down(self, line: str) -> None:
        """Until this line has no host."""
        wait_for(lambda: self.told(line, 4)["status"].startswith("DOWN"), 20, line)

    def told(self, line: str, kind: int) -> dict[str, str]:
        """What HAProxy itself says of a line (kind 2) or of its host (4)."""
        told = admin_says(self.admin, f"show stat {line} {kind} -1")
        names, values, *_ = [line.split(",") for line in told.splitlines()]
        return dict(zip(names, values, strict=True))

    admin: Path = Path()


def admin_says(admin: Path, command: str) -> str:
    """What HAProxy says to this on its own socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(admin))
        connection.sendall(f"{command}\n".encode())
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def begun(key: str, method: str = "POST", path: str = REPORT) -> bytes:
    """The beginning of a request of which more is to come than the front keeps: 25,000 bytes of a body of 200,000."""
    head = f"Host: x\r\nAuthorization: Bearer {key}\r\nContent-Length: 200000\r\n\r\n"
    return f"{method} {path} HTTP/1.1\r\n{head}{' ' * 25_000}".encode()


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


@contextlib.contextmanager
def started(text: str, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """HAProxy with this configuration. Where there is none the test is skipped."""
    try:
        front.program()
    except Absent as absent:
        pytest.skip(str(absent))
    with front.started(text, folder) as process:
        yield process


@contextlib.contextmanager
def fronted(folder: Path, changes: Mapping[str, str] = CHANGES) -> Iterator[Front]:
    """A front before one such host."""
    host = Host()
    server = Server(("127.0.0.1", 0), type("Bound", (Handler,), {"host": host}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with before(server.server_address[1], host, folder, changes) as found:
            yield found
    finally:
        host.may_answer.release(1_000)
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def before(host_port: int, host: Host, folder: Path, changes: Mapping[str, str] = CHANGES) -> Iterator[Front]:
    """The same before whoever listens at this port, or nobody."""
    port = free_port()
    with contextlib.ExitStack() as ends, started(front.plain(port, host_port, changes, folder), folder):
        wait_for(lambda: (folder / "admin.sock").exists() and accepts(port), 20, "the front")
        yield Front(port, host, ends, folder / "admin.sock")
