"""Two Valkey servers: the one that the address leads to, and a stale copy that may be given the address.

Older states are files that the first one saved earlier. Nothing may rest on any of this: Redis decides nothing.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from lostid.engines import valkey
from tests.faults.disks import Disk
from tests.faults.links import Links
from tests.waiting import wait_for

_MEGABYTES = 300
_PATIENCE_S = 3.0
Pause = Iterator[float]


class Node:
    """One Valkey server with a disk of its own."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.disk = Disk(folder / name, _MEGABYTES)
        self.server = valkey.prepare(self.disk.path, f"{folder.name[-8:]}{name[-2:]}")
        self.child: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self.server.sockets / valkey.SOCKET

    @property
    def file(self) -> Path:
        return self.server.data / "dump.rdb"

    @property
    def pids(self) -> list[int]:
        return [] if self.child is None or self.child.poll() is not None else [self.child.pid]

    @property
    def ready(self) -> bool:
        return self.child is not None and self.server.ready(self.child)

    def start(self) -> None:
        self.child = self.server.start()

    def kill(self) -> None:
        if self.child is not None:
            self.child.kill()
            self.child.wait()

    def ask(self, command: str) -> bytes:
        """The first line of the reply. Raises OSError where none comes in time."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(_PATIENCE_S)
            s.connect(str(self.socket))
            s.sendall(command.encode() + b"\r\n")
            return s.makefile("rb").readline()

    def take(self, file: Path | None) -> None:
        """Wake up with another memory: that of the file, or none. Only while the server is down."""
        self.file.unlink(missing_ok=True)
        if file is not None:
            shutil.copy2(file, self.file)
            if self.server.user is not None:
                shutil.chown(self.file, self.server.user.uid, self.server.user.gid)


class Valkeys:
    """`current` has the address, `other` is down or stale."""

    def __init__(self, folder: Path, links: Links) -> None:
        self.links = links
        self.current, self.other = Node("vk1", folder), Node("vk2", folder)
        self.nodes = (self.current, self.other)
        self.served: list[str] = []
        self.older = folder / "older.rdb"
        self.current.start()
        wait_for(lambda: self.current.ready, 20, "valkey")

    def serve(self, link: str) -> str:
        """A link of a host's; returns the URL behind it."""
        self.served.append(link)
        return f"redis://127.0.0.1:{self.links.open(link, self.current.socket)}/0"

    def remember(self) -> None:
        """Keep a copy of what it holds now, for a day when it is old."""
        self.current.ask("SAVE")
        if self.current.file.exists():
            shutil.copy2(self.current.file, self.older)

    def restart(self, node: Node) -> Pause:
        if not node.pids:
            node.start()
        for _ in range(100):
            if node.ready:
                return
            yield 0.1
        raise RuntimeError(f"Valkey {node.name} does not start")

    def stale_at_the_address(self) -> Pause:
        """The other one wakes with an older memory and is given the address; who is connected stays with the first."""
        self.other.take(self.older if self.older.exists() else None)
        yield from self.restart(self.other)
        self.current, self.other = self.other, self.current
        for link in self.served:
            self.links.lead(link, self.current.socket, reset=False)

    def close(self) -> None:
        for node in self.nodes:
            node.kill()
            shutil.rmtree(node.server.sockets, ignore_errors=True)
            node.disk.release()
