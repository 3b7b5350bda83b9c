"""A reader of standard error that stalls holds nobody up, and what it missed is counted."""

import contextlib
import json
import os
from collections.abc import Iterator

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


@pytest.fixture
def full_pipe() -> Iterator[tuple[int, int, int]]:
    """(read end, write end, bytes in it)."""
    read_end, write_end = os.pipe()
    yield read_end, write_end, fill(write_end)
    os.close(read_end)
    with contextlib.suppress(OSError):
        os.close(write_end)


def read_exactly(pipe: int, size: int) -> bytes:
    read = b""
    while len(read) < size:
        part = os.read(pipe, size - len(read))
        assert part
        read += part
    return read


def test_lines_beyond_the_buffer_are_lost_and_counted(full_pipe: tuple[int, int, int]) -> None:
    read_end, write_end, before = full_pipe
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
    assert 5 <= written <= 6  # five fill the buffer; one may be under way
    assert lost == 10 - written


def test_a_reader_that_is_gone_is_no_error() -> None:
    read_end, write_end = os.pipe()
    stream = Unstalled(write_end)
    os.close(read_end)
    stream.write("nobody reads this\n")
    stream.drain(10)
    assert stream.write("nor this\n") == 9
    os.close(write_end)


def test_a_server_goes_on_while_nobody_reads_its_lines(full_pipe: tuple[int, int, int]) -> None:
    read_end, write_end, before = full_pipe
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
