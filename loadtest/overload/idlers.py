"""Connections that do nothing, or next to nothing, and are opened again when they are closed."""

from __future__ import annotations

import contextlib
import multiprocessing
import select
import socket
import time
from collections.abc import Iterator

SILENT, DRIPPING = 2_000, 500
_DRIP_S = 1.0


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
    drip = 0.0
    while True:
        for fd, _ in poll.poll(0.1, 512):
            one, drips = open_.pop(fd)
            poll.unregister(fd)
            one.close()
            connect(drips)
        if time.monotonic() - drip > _DRIP_S:
            drip = time.monotonic()
            for one, drips in open_.values():
                if drips:
                    with contextlib.suppress(OSError):
                        one.send(b"P")
