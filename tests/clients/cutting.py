"""A line that can be cut: a port before the registry's that breaks its first connections after so many bytes."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_CHUNK = 1 << 14


@contextmanager
def cut_line(port: int, after: int, times: int = 1) -> Iterator[tuple[str, list[int]]]:
    """(the URL of the cut line, how many cuts are left); the connections after the first `times` stay whole."""
    left = [times]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_accept, args=(listening, port, after, left), daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", left
        listening.shutdown(socket.SHUT_RDWR)


def _accept(listening: socket.socket, port: int, after: int, left: list[int]) -> None:
    with contextlib.suppress(OSError):
        while True:
            near, _ = listening.accept()
            far = socket.create_connection(("127.0.0.1", port))
            threading.Thread(target=_carry, args=(near, far, after, left), daemon=True).start()
            threading.Thread(target=_carry, args=(far, near, None, left), daemon=True).start()


def _carry(source: socket.socket, sink: socket.socket, after: int | None, left: list[int]) -> None:
    passed = 0
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            sink.sendall(data)
            passed += len(data)
            if after is not None and passed > after and left[0]:
                left[0] -= 1
                break
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
