"""HTTP by hand, for requests that no library would send."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.api.serving import Served


@contextmanager
def connected(server: Served) -> Iterator[socket.socket]:
    """A bare connection."""
    url = httpx.URL(server.url)
    with socket.create_connection((url.host, url.port or 80), timeout=20) as connection:
        yield connection


def request(path: str, body: bytes, *headers: str, method: str = "POST") -> bytes:
    """A request whose body has a length: the fast lane's kind."""
    lines = [f"{method} {path} HTTP/1.1", "Host: lostid", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(path: str, body: bytes, *headers: str) -> bytes:
    """The same request with its body in chunks, which goes the way of ASGI."""
    lines = [f"POST {path} HTTP/1.1", "Host: lostid", *headers, "Transfer-Encoding: chunked"]
    parts = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
    return "\r\n".join([*lines, "", ""]).encode() + parts + b"0\r\n\r\n"


def answer(connection: socket.socket) -> bytes:
    """One whole response, and nothing of the next; empty when the connection ends first."""
    with connection.makefile("rb", buffering=0) as stream:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            part = stream.read(1)
            if not part:
                return head
            head += part
        length = re.search(rb"content-length: (\d+)", head)
        assert length is not None
        body = b""
        while len(body) < int(length[1]):
            part = stream.read(int(length[1]) - len(body))
            assert part, body
            body += part
        return head + body
