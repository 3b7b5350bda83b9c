"""The fast lane and ASGI give the same answers, in order; silent and dripping connections are closed."""

import json
import re
import socket
import time
from typing import Any

import pytest

from tests.api.raw import answer, chunked, connected, request
from tests.api.serving import Key, Served, check_of, person, report_of, resident

_CHANGES = re.compile(
    rb"(chk_|req_)[0-9a-f]+|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z|\"(fresh_for_ms|seq)\":\d+|date: [^\r]+|"
    rb"content-length: \d+"
)


@pytest.fixture(scope="module")
def reported(server: Served, reporter: Key) -> dict[str, Any]:
    """A card that is reported."""
    card = resident(valid_from="2015-03-01")
    with server.client(reporter) as client:
        headers = {"Idempotency-Key": person()[:17]}
        assert client.post("/v1/reports", json=report_of(card, "officer-1"), headers=headers).status_code == 201
    return card


def corpus(key: Key, card: dict[str, Any]) -> list[tuple[str, bytes, tuple[str, ...]]]:
    """(path, body, headers) of everything a check can meet."""
    allowed = (f"Authorization: Bearer {key.secret}", "Content-Type: application/json")
    bare = {"type": card["type"], "number": card["number"]}
    good = json.dumps(check_of(card)).encode()
    bodies = [
        good,
        json.dumps(check_of(bare)).encode(),
        json.dumps(check_of(resident())).encode(),
        json.dumps(check_of({"type": "cn.resident-id", "number": "110105491231002"})).encode(),
        json.dumps(check_of({**card, "number": "1"})).encode(),
        json.dumps({**check_of(card), "colour": 1}).encode(),
        good[:-1],
        b"",
        b"null",
        b'{"operator":"a","operator":"b"}',
        good.replace(b'"', b"'"),
        b"\xff\xfe" + good,
        json.dumps({**check_of(card), "operator": "Desk"}).encode(),
        json.dumps({**check_of(card), "reference": "\ud800"}).encode(),
    ]
    batch = {"operator": "desk-1", "purpose": "other", "checks": [{"document": card}, {"document": bare}]}
    cases: list[tuple[str, bytes, tuple[str, ...]]] = [("/v1/checks", body, allowed) for body in bodies]
    cases += [("/v1/checks/batch", json.dumps(batch).encode(), allowed), ("/v1/checks/batch", good, allowed)]
    cases += [("/v1/checks", good, headers) for headers in ((), allowed[:1], allowed[1:], ("Authorization: Bearer x",))]
    cases += [("/v1/checks", good, (*allowed, "Accept-Language: zh", "Request-Id: abcdefgh-1"))]
    cases += [("/v1/checks", b"{" + b" " * 200_000, allowed), ("/v1/checks?x=1", good, allowed)]
    return cases


def test_same_answers(server: Served, checker: Key, reported: dict[str, Any]) -> None:
    """Byte for byte but for ids and times, whichever way a request goes: by the parser, by a head that the parser has
    read before, and by ASGI."""
    with connected(server) as fast, connected(server) as slow:
        for path, body, headers in corpus(checker, reported):
            slow.sendall(chunked(path, body, *headers))
            expected = _CHANGES.sub(b"", answer(slow))
            for _ in range(3):
                fast.sendall(request(path, body, *headers))
                got = answer(fast)
                assert _CHANGES.sub(b"", got) == expected, body[:80]
                assert got.startswith(b"HTTP/1.1 ")


def test_order(server: Served, checker: Key, reported: dict[str, Any]) -> None:
    """Answers leave in the order of their requests, also where the first has to be looked up exactly."""
    allowed = (f"Authorization: Bearer {checker.secret}", "Content-Type: application/json")
    asked = []
    pipeline = b""
    for turn in range(12):
        name = f"in-order-{turn:04d}"
        card = reported if turn % 3 == 0 else resident()
        body = json.dumps(check_of(card)).encode()
        make = chunked if turn % 4 == 1 else request
        pipeline += make("/v1/checks", body, *allowed, f"Request-Id: {name}")
        asked.append((name, "reported" if turn % 3 == 0 else "clear"))
    with connected(server) as connection:
        connection.sendall(pipeline)
        received = b""
        while received.count(b'"fresh_for_ms"') < len(asked):
            part = connection.recv(65536)
            assert part, received[-300:]
            received += part
    names = re.findall(rb"request-id: (in-order-\d+)", received)
    statuses = re.findall(rb'"status":"(\w+)"', received)
    assert [(n.decode(), s.decode()) for n, s in zip(names, statuses, strict=True)] == asked


def test_close(server: Served, checker: Key) -> None:
    """Who asks for the connection to be closed is answered first."""
    allowed = (f"Authorization: Bearer {checker.secret}", "Content-Type: application/json", "Connection: close")
    with connected(server) as connection:
        connection.sendall(request("/v1/checks", json.dumps(check_of(resident())).encode(), *allowed))
        got = answer(connection)
        assert b" 200 " in got
        assert b"connection: close" in got
        assert connection.recv(1) == b""


def test_body_in_parts(server: Served, checker: Key) -> None:
    """A body that comes byte by byte is answered like any other."""
    allowed = (f"Authorization: Bearer {checker.secret}", "Content-Type: application/json")
    raw = request("/v1/checks", json.dumps(check_of(resident())).encode(), *allowed)
    with connected(server) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(raw)):
            connection.sendall(raw[at : at + 1])
        assert b'"status":"clear"' in answer(connection)


def test_trailer(server: Served, checker: Key) -> None:
    """What comes after the body is no header: it changes nobody's name."""
    allowed = (f"Authorization: Bearer {checker.secret}", "Content-Type: application/json")
    raw = chunked("/v1/checks", json.dumps(check_of(resident())).encode(), *allowed)
    with connected(server) as connection:
        connection.sendall(raw[:-2] + b"Authorization: Bearer nobody\r\nRequest-Id: trailing-1\r\n\r\n")
        got = answer(connection)
        assert b'"status":"clear"' in got
        assert b"trailing-1" not in got


def test_named_twice(server: Served, checker: Key) -> None:
    """Of two keys each reader picks its own: such a request is none, whichever way it goes."""
    keys = [f"Authorization: Bearer {key}" for key in (checker.secret, "nobody")]
    for path in ("/v1/checks", "/v1/reports", "/v1/reports/search"):
        with connected(server) as connection:
            connection.sendall(request(path, b"{}", *keys, "Content-Type: application/json"))
            assert b"request_malformed" in answer(connection)


@pytest.mark.parametrize("path", ["/v1/checks", "/v1/checks/batch"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_only_post(server: Served, method: str, path: str) -> None:
    """Every other method is told which one there is."""
    with server.client() as client:
        response = client.request(method, path)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


def test_large_head(server: Served) -> None:
    """A head that no honest client sends is refused while it comes."""
    with connected(server) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\n")
        received = b""
        try:
            for number in range(64):
                connection.sendall(b"X-%d: %s\r\n" % (number, b"a" * 1024))
            received = connection.recv(65536)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert received == b"" or received.startswith(b"HTTP/1.1 431 ")
        closed = False
        for _ in range(50):
            try:
                connection.sendall(b"a" * 65536)
            except OSError:
                closed = True
                break
            time.sleep(0.01)
        assert closed


def test_silence_and_dripping(server: Served, checker: Key) -> None:
    """A silent connection, an endless head and an endless body are closed; the rest is answered meanwhile."""
    allowed = (f"Authorization: Bearer {checker.secret}", "Content-Type: application/json")
    body = json.dumps(check_of(resident())).encode()
    with connected(server) as silent, connected(server) as head, connected(server) as half:
        half.sendall(request("/v1/checks", body, *allowed)[:-5])
        head.sendall(b"POST /v1/checks HTTP/1.1\r\n")
        open_ = {silent, head, half}
        end = time.monotonic() + 15
        while open_ and time.monotonic() < end:
            for connection in tuple(open_):
                connection.settimeout(0.1)
                try:
                    if connection is head:
                        connection.sendall(b"X: y\r\n")
                    if connection.recv(1) == b"":
                        open_.discard(connection)
                except TimeoutError:
                    continue
                except OSError:
                    open_.discard(connection)
            with server.client(checker) as client:
                assert client.post("/v1/checks", json=check_of(resident())).status_code == 200
        assert not open_
