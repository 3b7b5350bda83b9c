"""What is no HTTP/1.1 request is told so, in order, and ends its connection; what is one is served. RFC 9110, 9112."""

import itertools
import json
import random
import re
import socket
from typing import Any

import pytest

from tests.api.raw import answer, chunked, connected, request
from tests.api.serving import Key, Served, check_of, person, report_of, resident

CARD = resident(valid_from="2015-03-01")
BODY = json.dumps(check_of(CARD))
LENGTH = f"Content-Length: {len(BODY)}"
CHUNKED = "Transfer-Encoding: chunked"
IN_CHUNKS = f"{len(BODY):x}\r\n{BODY}\r\n0\r\n\r\n"
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: lostid\r\n\r\n"
HEAD = 16 * 1024


def _raw(*lines: str, body: str = BODY, first: str = "POST /v1/checks HTTP/1.1", host: str = "Host: lostid") -> bytes:
    """`KEY` stands for the key."""
    allowed = ("Authorization: Bearer KEY", "Content-Type: application/json")
    kept = [line for line in (first, host, *allowed, *lines) if line]
    return ("\r\n".join([*kept, "", ""]) + body).encode("latin-1")


NONE = {
    "two lengths": _raw(LENGTH, LENGTH),
    "two different lengths": _raw(LENGTH, "Content-Length: 5"),
    "a list of lengths": _raw(f"{LENGTH}, {len(BODY)}"),
    "a signed length": _raw(LENGTH.replace(": ", ": +")),
    "a negative length": _raw("Content-Length: -1"),
    "a length beyond 64 bits": _raw("Content-Length: 99999999999999999999999"),
    "no length": _raw("Content-Length: "),
    "a space before the colon": _raw(LENGTH.replace(":", " :")),
    "length and chunks": _raw(LENGTH, CHUNKED, body=IN_CHUNKS),
    "chunks and length": _raw(CHUNKED, LENGTH, body=IN_CHUNKS),
    "another coding": _raw("Transfer-Encoding: identity"),
    "two codings": _raw("Transfer-Encoding: gzip, chunked", body=IN_CHUNKS),
    "two codings, the other way round": _raw("Transfer-Encoding: chunked, gzip", body=IN_CHUNKS),
    "coded twice": _raw(CHUNKED, CHUNKED, body=IN_CHUNKS),
    "a coding that looks like it": _raw("Transfer-Encoding: \x0bchunked", body=IN_CHUNKS),
    "chunks in HTTP/1.0": _raw(CHUNKED, body=IN_CHUNKS, first="POST /v1/checks HTTP/1.0"),
    "a chunk without size": _raw(CHUNKED, body=f"zz\r\n{BODY}\r\n0\r\n\r\n"),
    "a chunk beyond 64 bits": _raw(CHUNKED, body=f"fffffffffffffffff\r\n{BODY}\r\n0\r\n\r\n"),
    "a chunk longer than said": _raw(CHUNKED, body=f"1\r\n{BODY}\r\n0\r\n\r\n"),
    "chunks with bare line ends": _raw(CHUNKED, body=IN_CHUNKS.replace("\r\n", "\n")),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "nothing like it": b"hello world\r\n\r\n",
    "HTTP/0.9": b"GET /livez\r\n\r\n",
    "HTTP/2": _raw(LENGTH, first="POST /v1/checks HTTP/2.0"),
    "HTTP/2, its preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/9.9": _raw(LENGTH, first="POST /v1/checks HTTP/9.9"),
    "no host": _raw(LENGTH, host=""),
    "no host, on the slow way": LIVEZ.replace(b"Host: lostid\r\n", b""),
    "two hosts": _raw(LENGTH, host="Host: a\r\nHost: b"),
    "the same host twice": _raw(LENGTH, host="Host: a\r\nHost: a"),
    "no name of a host": _raw(LENGTH, host="Host: a/b"),
    "two keys": _raw(LENGTH, "Authorization: Bearer other"),
    "two types": _raw(LENGTH, "Content-Type: text/plain"),
    "two ids": _raw(LENGTH, "Request-Id: first-0001", "Request-Id: second-0002"),
    "two idempotency keys": _raw("Idempotency-Key: a", "Idempotency-Key: b", LENGTH, first="POST /v1/reports HTTP/1.1"),
    "CONNECT": b"CONNECT lostid:80 HTTP/1.1\r\nHost: lostid:80\r\n\r\n",
    "no method": LIVEZ.replace(b"GET", b"FETCH"),
    "a fragment": _raw(LENGTH, first="POST /v1/checks#a HTTP/1.1"),
    "a target without a path": LIVEZ.replace(b"/livez", b"livez"),
    "an authority": LIVEZ.replace(b"/livez", b"lostid:80"),
    "a port beyond 16 bits": LIVEZ.replace(b"/livez", b"http://lostid:99999/livez"),
    "bytes in the target": LIVEZ.replace(b"livez", b"liv\xe9z"),
    "a bare CR": _raw(LENGTH, "X: a\rb"),
    "bare line ends": _raw(LENGTH).replace(b"\r\n", b"\n"),
    "a folded line": _raw(LENGTH, "Request-Id: abcdefgh\r\n X: y"),
    "NUL": _raw(LENGTH, "X: a\0b"),
    "a name with a space": _raw(LENGTH, "X Y: a"),
    "no name": _raw(LENGTH, ": a"),
    "no colon": _raw(LENGTH, "abc"),
}
LARGE = {
    "large headers": _raw(LENGTH, *[f"X-{n}: {'a' * 1000}" for n in range(20)]),
    "a large target": LIVEZ.replace(b"livez", b"a" * 17_000),
    "a very large target": LIVEZ.replace(b"livez", b"a" * 70_000),
    "a large trailer": _raw(CHUNKED, body=f"{IN_CHUNKS[:-2]}X: {'a' * 600_000}\r\n\r\n"),
    "a large extension": _raw(CHUNKED, body=f"{len(BODY):x};x={'a' * 600_000}\r\n{IN_CHUNKS[3:]}"),
}
SERVED = {
    "HTTP/1.0": (_raw(LENGTH, first="POST /v1/checks HTTP/1.0"), False),
    "HTTP/1.0 without host": (_raw(LENGTH, first="POST /v1/checks HTTP/1.0", host=""), False),
    "a host with port": (_raw(LENGTH, host="Host: lostid:8080"), True),
    "an address for a host": (_raw(LENGTH, host="Host: [::1]:8080"), True),
    "an empty host": (_raw(LENGTH, host="Host:"), True),
    "an absolute target": (_raw(LENGTH, first="POST http://lostid/v1/checks HTTP/1.1"), True),
    "a query": (_raw(LENGTH, first="POST /v1/checks?a=b HTTP/1.1"), True),
    "a letter encoded": (_raw(LENGTH, first="POST /v1/%63hecks HTTP/1.1"), True),
    "an empty line before": (b"\r\n" + _raw(LENGTH), True),
    "the scheme in small letters": (_raw(LENGTH).replace(b"Bearer", b"bearer"), True),
    "the scheme in capitals": (_raw(LENGTH).replace(b"Bearer", b"BEARER"), True),
    "another media type wanted": (
        _raw(LENGTH, "Accept: text/xml"),
        True,
    ),  # RFC 9110 section 12.5.1: may be disregarded
    "other expectations": (_raw(LENGTH, "Expect: fast"), True),  # section 10.1.1: may be disregarded
    "an id that is none": (_raw(LENGTH, "Request-Id: a b"), True),
    "fields that may repeat": (_raw(LENGTH, "Accept-Language: en", "Accept-Language: fr"), True),
    "many fields": (_raw(LENGTH, *[f"X-{n}: a" for n in range(1000)]), True),
    "an upgrade": (_raw(LENGTH, "Connection: Upgrade", "Upgrade: websocket"), True),
    "an upgrade, in chunks": (_raw(CHUNKED, "Connection: Upgrade", "Upgrade: h2c", body=IN_CHUNKS), True),
    "a chunk with an extension": (_raw(CHUNKED, body=IN_CHUNKS.replace("\r\n{", ";a=b\r\n{")), True),
    "a trailer": (_raw(CHUNKED, body=IN_CHUNKS[:-2] + "Authorization: Bearer other\r\n\r\n"), True),
}


def _with(raw: bytes, key: Key) -> bytes:
    return raw.replace(b"KEY", key.secret.encode())


def _to_the_end(connection: socket.socket) -> bytes:
    received = b""
    while part := connection.recv(65536):
        received += part
    return received


def _refused(connection: socket.socket, status: int, code: str) -> None:
    """One problem, as all problems are, and the end."""
    head, _, body = _to_the_end(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), head
    told = json.loads(body)
    assert (told["status"], told["code"]) == (status, code)
    lines = head.decode().lower().split("\r\n")
    for line in ("content-type: application/problem+json", "connection: close", "cache-control: no-store"):
        assert line in lines
    assert f"request-id: {told['request_id']}" in lines


@pytest.mark.parametrize("name", NONE)
def test_no_request(server: Served, checker: Key, name: str) -> None:
    """Refused by a problem, and nothing behind it is read."""
    with connected(server) as connection:
        connection.sendall(_with(NONE[name], checker) + LIVEZ)
        _refused(connection, 400, "request_malformed")


@pytest.mark.parametrize("name", LARGE)
def test_large(server: Served, checker: Key, name: str) -> None:
    """The same for what is larger than it may be, whether it comes at once or slowly; the client hears of it."""
    with connected(server) as connection:
        connection.sendall(_with(LARGE[name], checker)[: 4 * HEAD])
        if b"chunked" in LARGE[name]:
            connection.sendall(_with(LARGE[name], checker)[4 * HEAD : 20 * HEAD])
        _refused(connection, 431, "head_too_large")


@pytest.mark.parametrize("name", SERVED)
def test_served(server: Served, checker: Key, name: str) -> None:
    """Answered as any other, and where the connection stays, it is in step: the next request is answered too."""
    raw, stays = SERVED[name]
    with connected(server) as connection:
        connection.sendall(_with(raw, checker) + (LIVEZ if stays else b""))
        assert b'"status":"clear"' in answer(connection)
        assert (b'"status":"alive"' in answer(connection)) == stays


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/v1/status", "/metrics", "/.well-known/jwks.json", "/nowhere"])
def test_head(server: Served, path: str) -> None:
    """RFC 9110 section 9.3.2: what GET would say, without the body."""
    with server.client() as client:
        got, told = client.get(path), client.head(path)
    assert told.status_code == got.status_code
    assert told.content == b""
    assert set(told.headers) == set(got.headers)
    assert told.headers["content-type"] == got.headers["content-type"]
    assert int(told.headers["content-length"]) > 0


@pytest.fixture(scope="module")
def reported(server: Served, reporter: Key) -> dict[str, Any]:
    """A card whose record has to be read: its answer takes a turn of the loop."""
    card = resident(valid_from="2015-03-01")
    with server.client(reporter) as client:
        headers = {"Idempotency-Key": person()[:17]}
        assert client.post("/v1/reports", json=report_of(card, "officer-1"), headers=headers).status_code == 201
    return card


@pytest.mark.parametrize("bad", ["nothing like it", "two lengths", "a chunk without size", "no host", "large headers"])
def test_refused_in_order(server: Served, checker: Key, reported: dict[str, Any], bad: str) -> None:
    """A refusal waits for the answers before it: it is nobody else's."""
    allowed = (f"Authorization: Bearer {checker.secret}", "Content-Type: application/json")
    body = json.dumps(check_of(reported)).encode()
    for first in (request("/v1/checks", body, *allowed), chunked("/v1/checks", body, *allowed)):
        with connected(server) as connection:
            connection.sendall(first * 3 + _with((NONE | LARGE)[bad], checker) + first)
            received = _to_the_end(connection)
        statuses = re.findall(rb"HTTP/1\.1 (\d+) ", received)
        assert statuses == [b"200", b"200", b"200", b"431" if bad == "large headers" else b"400"]
        assert received.count(b'"status":"reported"') == 3


def test_half_closed(server: Served, checker: Key, reported: dict[str, Any]) -> None:
    """Who has said all and still listens is answered, whichever way the request goes; then the connection ends."""
    allowed = (f"Authorization: Bearer {checker.secret}", "Content-Type: application/json")
    for card, status in ((CARD, b"clear"), (reported, b"reported")):
        body = json.dumps(check_of(card)).encode()
        for raw in (request("/v1/checks", body, *allowed), chunked("/v1/checks", body, *allowed)):
            with connected(server) as connection:
                connection.sendall(raw * 2)
                connection.shutdown(socket.SHUT_WR)
                assert _to_the_end(connection).count(b'"status":"%b"' % status) == 2
    with connected(server) as connection:
        connection.sendall(request("/v1/checks", json.dumps(check_of(CARD)).encode(), *allowed)[:-1])
        connection.shutdown(socket.SHUT_WR)
        assert _to_the_end(connection) == b""


def test_expected(server: Served, checker: Key) -> None:
    """RFC 9110 section 10.1.1: a body is asked for where it will be looked at, and only there."""
    body = json.dumps(check_of(CARD)).encode()
    wanted = request("/v1/checks", body, f"Authorization: Bearer {checker.secret}", "Content-Type: application/json",
                     "Expect: 100-continue")  # fmt: skip
    with connected(server) as connection:
        connection.sendall(wanted[: -len(body)])
        assert connection.recv(64).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.sendall(body)
        assert b'"status":"clear"' in answer(connection)
    for path in ("/v1/checks", "/v1/reports"):
        with connected(server) as connection:
            connection.sendall(request(path, body, "Expect: 100-continue")[: -len(body)])
            assert answer(connection).startswith(b"HTTP/1.1 401 ")


def test_upgrades_in_a_row(server: Served, checker: Key) -> None:
    """Requests behind requests that ask for an upgrade are all answered, in order."""
    raw = _with(_raw(LENGTH, "Connection: Upgrade", "Upgrade: websocket"), checker)
    with connected(server) as connection:
        connection.sendall((raw + LIVEZ) * 20)
        for _ in range(20):
            assert b'"status":"clear"' in answer(connection)
            assert b'"status":"alive"' in answer(connection)


def _mixture(chance: random.Random, key: Key, reported: dict[str, Any]) -> list[tuple[bytes, str, str]]:
    """(request, its id, what its answer holds): every kind of request, one behind the other."""
    made = []
    for turn in range(chance.randrange(5, 40)):
        name, card = f"mixture-{turn:04d}", chance.choice((reported, CARD))
        body = json.dumps(check_of(card)).encode()
        allowed = (f"Authorization: Bearer {key.secret}", "Content-Type: application/json", f"Request-Id: {name}")
        upgrade = ("Connection: upgrade", "Upgrade: h2c")
        status = "reported" if card is reported else "clear"
        made.append(
            chance.choice(
                (
                    (request("/v1/checks", body, *allowed), name, status),
                    (request("/v1/checks", body, *allowed, *upgrade), name, status),
                    (chunked("/v1/checks", body, *allowed), name, status),
                    (chunked("/v1/checks", body, *allowed)[:-2] + b"Request-Id: trailing-1\r\n\r\n", name, status),
                    (request("/v1/checks/batch", body, *allowed), name, "invalid"),
                    (request("/v1/checks", body, *allowed[1:]), name, "key_missing"),
                    (request("/livez", b"", *allowed, method="GET"), name, "alive"),
                    (request("/livez", b"", *allowed, *upgrade, method="GET"), name, "alive"),
                )
            )
        )
    return made


@pytest.mark.parametrize("seed", range(8))
def test_mixture(server: Served, checker: Key, reported: dict[str, Any], seed: int) -> None:
    """Whatever stands behind whatever, and wherever it is cut: each request gets its own answer, in order; and what
    comes last, a refusal or a farewell, comes last."""
    chance = random.Random(seed)
    asked = _mixture(chance, checker, reported)
    raw = b"".join(one for one, _, _ in asked) + (b"\0garbage\r\n\r\n" if seed % 2 else b"")
    with connected(server) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        cuts = sorted(chance.randrange(len(raw)) for _ in range(chance.choice((0, 3, 40))))
        for begin, end in itertools.pairwise((0, *cuts, len(raw))):
            connection.sendall(raw[begin:end])
        if not seed % 2:
            connection.shutdown(socket.SHUT_WR)
        for _, name, told in asked:
            got = answer(connection).decode()
            assert f"request-id: {name}\r\n" in got
            assert told in got or "freshness_unproven" in got
        if seed % 2:
            _refused(connection, 400, "request_malformed")
        assert connection.recv(1) == b""
