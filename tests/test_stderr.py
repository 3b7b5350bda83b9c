"""A reader of standard error that stalls holds nobody up, and what it missed is counted."""

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lostid.stderr import Unstalled
from tests.serving import Server


def fill(pipe: int) -> int:
    """How many bytes it took until nothing more went in."""
    os.set_blocking(pipe, False)
    took = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            took += os.write(pipe, b"." * 512)
    os.set_blocking(pipe, True)
    return took


@pytest.fixture(params=["pipe", "socket", "pipe of another user"])
def stalled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int, int]]:
    """(where to read, where to write, bytes that lie between): nothing more goes in."""
    if request.param == "socket":
        read_end, write_end = (end.detach() for end in socket.socketpair())
    else:
        read_end, write_end = os.pipe()
    if request.param == "pipe of another user":
        monkeypatch.setattr(os, "open", refused)
    yield read_end, write_end, fill(write_end)
    os.close(read_end)
    with contextlib.suppress(OSError):
        os.close(write_end)


def refused(path: str, flags: int) -> int:
    raise PermissionError(path)


def read_exactly(fd: int, size: int) -> bytes:
    read = b""
    while len(read) < size:
        part = os.read(fd, size - len(read))
        assert part
        read += part
    return read


def test_lines_beyond_the_buffer_are_lost_and_counted(stalled: tuple[int, int, int]) -> None:
    read_end, write_end, before = stalled
    stream = Unstalled(write_end, buffer_bytes=40)
    for n in range(10):
        stream.write(f"line {n}\n")
    read_exactly(read_end, before)
    written, lost = 0, 0
    while written + lost < 10:
        for line in os.read(read_end, 4096).decode().splitlines():
            if line.startswith("{"):
                told = json.loads(line)
                assert told["event"] == "stderr.lines_lost"
                lost += told["lines"]
            else:
                assert line == f"line {written}"
                written += 1
    assert written in (5, 6)  # five fill the buffer; a bit of room may have been left for part of one
    assert lost == 10 - written
    stream.drain(10)
    stream.write("again\n")
    assert os.read(read_end, 4096) == b"again\n"


def test_a_file_gets_every_line(tmp_path: Path) -> None:
    with (tmp_path / "log").open("ab") as file, (tmp_path / "log").open("ab") as other:
        stream = Unstalled(file.fileno())
        stream.write("ours\n")
        other.write(b"theirs\n")
        other.flush()
        stream.write("ours again\n")
    assert (tmp_path / "log").read_text() == "ours\ntheirs\nours again\n"


def test_a_reader_that_is_gone_is_no_error() -> None:
    read_end, write_end = os.pipe()
    stream = Unstalled(write_end)
    os.close(read_end)
    assert stream.write("nobody reads this\n") == 18
    stream.drain(10)
    assert stream.write("nor this\n") == 9
    os.close(write_end)


def test_a_server_goes_on_while_nobody_reads_its_lines() -> None:
    read_end, write_end = os.pipe()
    before = fill(write_end)
    with contextlib.closing(Server(workers=1)) as server:
        server.start(stderr=write_end)
        for _ in range(3):
            assert server.ask("GET", "/v1/status")[0] == 200
        assert server.ask("GET", "/readyz")[0] == 200
        os.close(write_end)
        read_exactly(read_end, before)
        told = b""
        while b'"event":"request"' not in told:
            told += os.read(read_end, 4096)
    os.close(read_end)
