"""The recommended front (docs/haproxy.cfg) before the two hosts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from overload import front
from tests.docs.fronting import admin_says, started
from tests.faults.failpoint_pair import Pair
from tests.serving import free_port
from tests.waiting import wait_for


@dataclass(frozen=True)
class Front:
    port: int
    admin: Path

    def hosts_ready(self) -> int:
        """How many hosts have told the front so."""
        return admin_says(self.admin, "show stat checks 4 -1").count(",L7OK,")  # 4: of its servers


@contextmanager
def before(pair: Pair, folder: Path) -> Iterator[Front]:
    """Without TLS; nothing else is changed but places, users and how many connections there may be."""
    port = free_port()
    changes = {
        "    maxconn 20000": "    maxconn 200",  # two descriptors each: more than a test's shell may have
        "bind :443 ssl crt /etc/haproxy/lostid.pem alpn http/1.1": f"bind 127.0.0.1:{port}",
        "10.0.0.11:8080": f"127.0.0.1:{pair.fails.port}",
        "10.0.0.12:8080": f"127.0.0.1:{pair.other.port}",
    }
    with started(front.changed(changes, folder), folder):
        wait_for((folder / "admin.sock").exists, 20, "the front")
        yield Front(port, folder / "admin.sock")
