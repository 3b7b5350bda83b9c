"""Connections that do nothing, or next to nothing, and are opened again when they are closed."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import select
import socket
import time
from collections.abc import Iterator

SILENT, DRIPPING = 2_000, 500
_DRIP_S = 1.0
_GROUPS = 20  # they do not drip all at once


@contextlib.contextmanager
def idlers(port: int, silent: int = SILENT, dripping: int = DRIPPING) -> Iterator[None]:
    """In a process of their own, for as long as the block runs."""
    process = multiprocessing.get_context("spawn").Process(target=_idle, args=(port, silent, dripping), daemon=True)
    process.start()
    try:
        time.sleep(3.0)  # until they stand
        yield
    finally:
        process.kill()
        process.join()


def _idle(port: int, silent: int, dripping: int) -> None:
    os.nice(19)  # they stand for other machines: their own work shall keep nobody on this one from the processor
    poll = select.epoll()
    open_: dict[int, tuple[socket.socket, bool]] = {}

    def connect(drips: bool) -> None:
        with contextlib.suppress(OSError):
            one = socket.create_connection(("127.0.0.1", port), timeout=5)
            one.setblocking(False)
            open_[one.fileno()] = one, drips
            poll.register(one.fileno(), select.EPOLLIN)

    for place in range(silent + dripping):
        connect(place >= silent)
    turn = 0
    while True:
        due = time.monotonic() + _DRIP_S / _GROUPS
        while (left := due - time.monotonic()) > 0:
            for fd, _ in poll.poll(left, 512):
                one, drips = open_.pop(fd)
                poll.unregister(fd)
                one.close()
                connect(drips)
        turn += 1
        for fd, (one, drips) in open_.items():
            if drips and fd % _GROUPS == turn % _GROUPS:
                with contextlib.suppress(OSError):
                    one.send(b"P")
