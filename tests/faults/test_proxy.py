"""The proxy does what its faults are called, and nothing else: otherwise the harness would test something else."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.links import Links
from tests.waiting import wait_for

SOON = 10.0


class Echo:
    """A server that says back what it hears, and remembers how each connection ended."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.address = ("127.0.0.1", self.listening.getsockname()[1])
        self.heard = bytearray()
        self.pieces = 0
        self.ends: list[str] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self.listening.accept()[0],), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65_536):
                    self.heard += data
                    self.pieces += 1
                    connection.sendall(data)
                self.ends.append("end")
            except OSError:
                self.ends.append("reset")


@pytest.fixture(scope="module")
def links(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Links]:
    made = Links(tmp_path_factory.mktemp("links"))
    yield made
    made.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    made = Echo()
    yield made
    made.listening.close()


@pytest.fixture
def link(links: Links, echo: Echo, request: pytest.FixtureRequest) -> str:
    """A link to the echo, named as its test."""
    links.open(request.node.name, echo.address)
    return str(request.node.name)


@pytest.fixture
def client(links: Links, link: str) -> Iterator[socket.socket]:
    """A connection through that link."""
    with socket.create_connection(("127.0.0.1", links.ports[link]), SOON) as made:
        made.sendall(b"hello")
        assert exactly(made, 5) == b"hello"
        yield made


def exactly(connection: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size and (data := connection.recv(size - len(got))):
        got += data
    return got


def silent(connection: socket.socket, seconds: float = 0.2) -> bool:
    """Open, and nothing to read for a while."""
    connection.settimeout(seconds)
    try:
        connection.recv(1, socket.MSG_PEEK)
        return False
    except TimeoutError:
        return True
    finally:
        connection.settimeout(SOON)


def test_pass(client: socket.socket, echo: Echo) -> None:
    """Everything arrives as it was sent, and so does the end."""
    sent = bytes(range(256)) * 4000
    threading.Thread(target=client.sendall, args=(sent,), daemon=True).start()
    assert exactly(client, len(sent)) == sent
    client.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""
    wait_for(lambda: echo.ends == ["end"], SOON, "the end arrives")


def test_delay(client: socket.socket, link: str, links: Links) -> None:
    """There and back take twice the delay."""
    links.mode(link, "delay", seconds=0.1)
    began = time.monotonic()
    client.sendall(b"x")
    assert client.recv(1) == b"x"
    assert time.monotonic() - began >= 0.2


def test_stall(client: socket.socket, link: str, links: Links) -> None:
    """Nothing comes, nothing is lost; neither for a connection made meanwhile."""
    links.mode(link, "stall")
    client.sendall(b"held")
    with socket.create_connection(("127.0.0.1", links.ports[link]), SOON) as late:
        late.sendall(b"late")
        assert silent(client)
        assert silent(late, 0.05)
        links.heal(link)
        assert exactly(client, 4) == b"held"
        assert exactly(late, 4) == b"late"


@pytest.mark.parametrize("way", ["up", "down"])
def test_cut(client: socket.socket, link: str, links: Links, echo: Echo, way: str) -> None:
    """One direction stands still, the other does not notice."""
    links.mode(link, "cut", way=way)
    client.sendall(b"asked")
    if way == "down":
        wait_for(lambda: echo.heard.endswith(b"asked"), SOON, "the question arrives")
    assert silent(client)
    assert echo.heard.endswith(b"asked") is (way == "down")
    links.heal(link)
    assert exactly(client, 5) == b"asked"


def test_reset(client: socket.socket, link: str, links: Links, echo: Echo) -> None:
    """Both ends see a reset, and the next connection is as good as any."""
    links.reset(link)
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    wait_for(lambda: echo.ends == ["reset"], SOON, "the server's end")
    with socket.create_connection(("127.0.0.1", links.ports[link]), SOON) as again:
        again.sendall(b"x")
        assert again.recv(1) == b"x"


def test_half_open(client: socket.socket, link: str, links: Links, echo: Echo) -> None:
    """The server's end is gone, the client's is open and silent; when it is over the client hears of it."""
    links.mode(link, "half_open")
    wait_for(lambda: echo.ends == ["reset"], SOON, "the server's end")
    client.sendall(b"into nothing")
    with socket.create_connection(("127.0.0.1", links.ports[link]), SOON) as late:
        late.sendall(b"nothing either")
        assert silent(client)
        assert silent(late, 0.05)
        links.heal(link)
        for connection in (client, late):
            with pytest.raises(ConnectionResetError):
                connection.recv(1)
    assert echo.heard == b"hello"


def test_trickle(client: socket.socket, link: str, links: Links, echo: Echo) -> None:
    """The same bytes, in many more pieces."""
    links.mode(link, "trickle")
    before = echo.pieces
    client.sendall(b"a" * 500)
    assert exactly(client, 500) == b"a" * 500
    assert echo.pieces - before > 5


@pytest.mark.parametrize(("way", "heard"), [("up", b"hello12"), ("down", b"hello123456789")])
def test_truncate(client: socket.socket, link: str, links: Links, echo: Echo, way: str, heard: bytes) -> None:
    """So many bytes more, then the end, as if all had been said."""
    links.mode(link, "truncate", way=way, bytes=2)
    client.sendall(b"123456789")
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while data := client.recv(100):
            got += data
    assert got in ((b"", b"12") if way == "up" else (b"12",))
    wait_for(lambda: bool(echo.ends), SOON, "the server's end")
    assert echo.heard == heard


def test_another_target(client: socket.socket, link: str, links: Links) -> None:
    """The address leads elsewhere: open connections stay with the old server until they are reset."""
    other = Echo()
    links.lead(link, other.address, reset=False)
    client.sendall(b"x")
    assert client.recv(1) == b"x"
    assert not other.heard
    with socket.create_connection(("127.0.0.1", links.ports[link]), SOON) as late:
        late.sendall(b"y")
        assert late.recv(1) == b"y"
    assert other.heard == b"y"
    links.lead(link, other.address, reset=True)
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    other.listening.close()


def test_nobody_there(links: Links, tmp_path: Path) -> None:
    """Where the server does not listen, the connection ends at once: maybe before `connect` has returned."""
    port = links.open("test_nobody_there", tmp_path / "nobody")
    with contextlib.suppress(ConnectionResetError), socket.create_connection(("127.0.0.1", port), SOON) as client:
        assert client.recv(1) == b""


def test_one_does_not_hold_up_another(links: Links, link: str, client: socket.socket, echo: Echo) -> None:
    """A link that stalls with full buffers leaves the others alone."""
    port = links.open("beside", echo.address)
    links.mode(link, "stall")
    client.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while client.send(b"z" * 65_536):
            pass
    with socket.create_connection(("127.0.0.1", port), SOON) as beside:
        beside.sendall(b"x")
        assert beside.recv(1) == b"x"
    links.heal(link)
