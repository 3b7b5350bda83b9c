"""An open loop over many connections, in one thread without a framework: it must offer several times what the server
can answer, from the core beside it.

Latency runs from the moment at which a request was due. A request that no connection is free for is counted as not
offered, never sent later.
"""

from __future__ import annotations

import contextlib
import random
import select
import socket
import time
from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

_WAIT_S = 0.001
_GRACE_S = 5.0
_PATIENCE_S = 60.0
_SEND_BUFFER = 1 << 20  # a whole batch goes in one call


@dataclass(slots=True)
class Stream:
    """One tenant's requests: ``rate`` a second, over ``connections`` of its own."""

    name: str
    rate: float
    connections: int
    requests: Sequence[bytes]
    seed: int = 1
    once: bool = False  # each request is sent once, for writes


@dataclass(slots=True)
class Seen:
    """What came of a stream. Latencies in microseconds; ``at``: the second of the run in which each was due."""

    answered: array[int] = field(default_factory=lambda: array("q"))
    refused: array[int] = field(default_factory=lambda: array("q"))
    others: dict[str, int] = field(default_factory=dict)
    seconds: list[list[int]] = field(default_factory=list)  # answered, refused in each second
    not_offered: int = 0
    unanswered: int = 0
    broken: int = 0
    without_retry_after: int = 0
    refusals: dict[str, int] = field(default_factory=dict)  # by code

    @property
    def offered(self) -> int:
        """Requests that were sent."""
        return len(self.answered) + len(self.refused) + sum(self.others.values()) + self.unanswered + self.broken


class _Conn:
    __slots__ = ("buffer", "due", "runner", "socket")

    def __init__(self, sock: socket.socket, runner: _Runner) -> None:
        self.socket, self.runner = sock, runner
        self.due = 0.0
        self.buffer = b""


class _Runner:
    """A stream while it runs."""

    def __init__(self, stream: Stream, start: float) -> None:
        self.stream, self.seen = stream, Seen()
        self.free: deque[_Conn] = deque()
        self.gap = 1.0 / stream.rate
        self.chance = random.Random(stream.seed)
        self.next = start + self.chance.expovariate(stream.rate)
        self.place = 0
        self.start = start

    def request(self) -> bytes:
        at, self.place = self.place, self.place + 1
        return self.stream.requests[at if self.stream.once else at % len(self.stream.requests)]

    def count(self, due: float, column: int) -> None:
        second = int(due - self.start)
        while len(self.seen.seconds) <= second:
            self.seen.seconds.append([0, 0])
        self.seen.seconds[second][column] += 1


def flood(port: int, streams: Sequence[Stream], seconds: float) -> list[Seen]:
    """Send what the streams say for ``seconds``; what each saw, in their order."""
    poll = select.epoll()
    now = time.perf_counter()
    runners = [_Runner(stream, now) for stream in streams]
    conns: dict[int, _Conn] = {}
    for runner in runners:
        for _ in range(runner.stream.connections):
            _connect(port, runner, poll, conns)
    _await_accepted(conns)
    start = time.perf_counter()
    for runner in runners:
        runner.next += start - runner.start
        runner.start = start
    try:
        _drive(port, runners, poll, conns, start + seconds)
    finally:
        busy = {id(conn) for runner in runners for conn in runner.free}
        for conn in conns.values():
            if id(conn) not in busy:
                conn.runner.seen.unanswered += 1
            conn.socket.close()
        poll.close()
    return [runner.seen for runner in runners]


def _connect(port: int, runner: _Runner, poll: select.epoll, conns: dict[int, _Conn]) -> None:
    sock = socket.create_connection(("127.0.0.1", port), timeout=10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    sock.setblocking(False)
    conn = conns[sock.fileno()] = _Conn(sock, runner)
    poll.register(sock.fileno(), select.EPOLLIN)
    runner.free.append(conn)


def _await_accepted(conns: dict[int, _Conn]) -> None:
    """A connection is made before the server has taken it up: the backlog answers for it."""
    for conn in conns.values():
        conn.socket.setblocking(True)
        conn.socket.settimeout(_PATIENCE_S)
        conn.socket.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    for conn in conns.values():
        answer = b""
        while not _is_whole(answer):
            received = conn.socket.recv(65536)
            if not received:
                raise ConnectionError("the server closed a connection before anything was asked of it")
            answer += received
        conn.socket.setblocking(False)


def _drive(port: int, runners: list[_Runner], poll: select.epoll, conns: dict[int, _Conn], end: float) -> None:
    clock = time.perf_counter
    while True:
        now = clock()
        if now < end:
            for runner in runners:
                if runner.next <= now:
                    _send_due(runner, now)
        elif now > end + _GRACE_S or all(len(r.free) == r.stream.connections for r in runners):
            return
        for fd, _ in poll.poll(_WAIT_S, 512):
            conn = conns[fd]
            try:
                data = conn.socket.recv(65536)
            except OSError:
                data = b""
            if data:
                _take(conn, data)
            else:
                poll.unregister(fd)
                del conns[fd]
                conn.socket.close()
                _lose(conn)
                _connect(port, conn.runner, poll, conns)


def _send_due(runner: _Runner, now: float) -> None:
    chance, rate, free, seen = runner.chance, runner.stream.rate, runner.free, runner.seen
    while runner.next <= now:
        due, runner.next = runner.next, runner.next + chance.expovariate(rate)
        if not free:
            seen.not_offered += 1
            continue
        conn = free.popleft()
        conn.due = due
        with contextlib.suppress(OSError):  # its end is heard of when it is read
            conn.socket.send(runner.request())


def _take(conn: _Conn, data: bytes) -> None:
    if conn.buffer:
        data = conn.buffer + data
    if not _is_whole(data):
        conn.buffer = data
        return
    conn.buffer = b""
    runner, due = conn.runner, conn.due
    seen, took = runner.seen, int((time.perf_counter() - due) * 1e6)
    status = data[9:12]
    if status in (b"200", b"201"):
        seen.answered.append(took)
        runner.count(due, 0)
    elif status in (b"503", b"429"):
        seen.refused.append(took)
        runner.count(due, 1)
        seen.without_retry_after += b"retry-after: " not in data
        at = data.find(b'"code":"') + 8
        code = data[at : data.find(b'"', at)].decode()
        seen.refusals[code] = seen.refusals.get(code, 0) + 1
    else:
        seen.others[status.decode()] = seen.others.get(status.decode(), 0) + 1
    runner.free.append(conn)


def _is_whole(answer: bytes) -> bool:
    head = answer.find(b"\r\n\r\n")
    at = answer.find(b"ontent-length: ", 0, head)
    return head >= 0 and len(answer) >= head + 4 + int(answer[at + 15 : answer.find(b"\r", at)])


def _lose(conn: _Conn) -> None:
    if conn in conn.runner.free:
        conn.runner.free.remove(conn)
    else:
        conn.runner.seen.broken += 1
