"""Embedded Valkey: one server in the data directory, reached through a socket in a private directory, no port."""

import os
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .procs import Child, User, spawn, wait_until_left
from .programs import valkey_program
from .sockets import sockets_dir, sockets_path
from .users import engine_user

SOCKET = "valkey.sock"

# On the command line; there is no file.
SETTINGS = {
    "port": "0",
    "unixsocket": SOCKET,
    "unixsocketperm": "700",
    "dir": ".",
    # An evicted record would not be a wrong answer (the ledger confirms every miss), only a slow one.
    "maxmemory-policy": "noeviction",
    # Buckets stay in the packed form: 24 bytes a record instead of some 90.
    "hash-max-listpack-entries": "512",
    # A copy of the ledger's state: saved on shutdown and now and then, so that a restart need not refill it.
    "save": "300 1",
    "appendonly": "no",
    "stop-writes-on-bgsave-error": "no",
    "databases": "1",
    "always-show-logo": "no",
}


@dataclass(frozen=True, slots=True)
class Valkey:
    """The server of one data directory. Made by `prepare`, under the data directory's lock."""

    data: Path
    sockets: Path
    path: Path
    user: User | None
    log: Path

    name = "valkey"
    program = "valkey-server"
    stops_with = (signal.SIGTERM, 10.0)  # saves, then leaves

    def start(self) -> subprocess.Popen[bytes]:
        """Start the server; `ready` says when it answers. Waits for an earlier one to leave."""
        wait_until_left(self.data, self.program)
        socket_path = self.sockets / SOCKET
        socket_path.unlink(missing_ok=True)
        settings = SETTINGS | {"unixsocket": str(socket_path)}
        with self.log.open("ab") as log:
            return spawn(
                [self.path, *(word for name, value in settings.items() for word in (f"--{name}", value))],
                death=signal.SIGKILL,
                cwd=self.data,
                user=self.user,
                env={"PATH": os.defpath, "LC_ALL": "C"},
                output=log,
            )

    def ready(self, child: Child) -> bool:
        """Whether it answers, also where the answer is that it still reads its file: the ledger has every record
        meanwhile, and nobody needs to wait for that."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(1.0)
            try:
                s.connect(str(self.sockets / SOCKET))
                s.sendall(b"PING\r\n")
                return s.recv(64).startswith((b"+PONG", b"-LOADING"))
            except OSError:
                return False

    @property
    def url(self) -> str:
        return url_at(self.sockets)


def url_at(sockets: Path) -> str:
    return f"unix://{sockets / SOCKET}"


def embedded_url(place: str) -> str:
    return url_at(sockets_path(place))


def prepare(data_dir: Path, place: str) -> Valkey:
    """Find or make its directory, its program and its socket's directory. Raises EngineRefused."""
    data = data_dir / "valkey"
    user = engine_user(data_dir)
    program = valkey_program(user, data_dir)
    log = data_dir / "log"
    log.mkdir(mode=0o700, exist_ok=True)
    if not data.is_dir():
        unfinished = data.with_name("valkey.unfinished")
        unfinished.mkdir(mode=0o700, exist_ok=True)
        if user is not None:
            os.chown(unfinished, user.uid, user.gid)
        unfinished.rename(data)
    return Valkey(data, sockets_dir(place, user), program, user, log / "valkey.log")
