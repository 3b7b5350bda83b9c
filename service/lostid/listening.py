"""The socket on which a host listens: made once by the supervisor, inherited by its workers."""

import socket
import time

BACKLOG = 2048


class CannotListen(Exception):
    """Somebody has the port, it is not ours to take, or the address is none."""


def listen(host: str, port: int, seconds: float = 2.0) -> socket.socket:
    """The listening socket, made once, inherited by workers. Those of a server just killed may hold it for a moment."""
    until = time.monotonic() + seconds
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as e:  # gaierror; a label that is too long
        raise CannotListen(f"cannot listen on {host}: {getattr(e, 'strerror', None) or 'no such name'}") from None
    family, kind, proto, _, address = found[0]
    while True:
        listening = socket.socket(family, kind, proto)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(address)
            listening.listen(BACKLOG)
            return listening
        except OSError as e:
            listening.close()
            if time.monotonic() >= until:
                raise CannotListen(f"cannot listen on {host} port {port}: {e.strerror}") from None
            time.sleep(0.05)


def url_of(listening: socket.socket) -> str:
    """Where this host itself reaches it."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  compared with, not opened
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_ready(url: str) -> bool:
    """Whether /readyz says 200. By hand: an HTTP library would cost the supervisor more than its own code."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), 0.3) as s:
            s.settimeout(0.3)  # the supervisor has other things to look at
            s.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return s.recv(64).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False
