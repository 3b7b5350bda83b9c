"""The front that docs/operations.md recommends, started before a server of one worker.

Its file is taken as it stands. What is changed is named here: places and users, TLS (the driver speaks none), how many
connections may come from one address (all of the driver's do), and what the file reckons for each host of two workers.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from peers.contenders import Absent, accepts, await_true, ended, free_port

CONFIGURATION = Path(__file__).parents[2] / "docs" / "haproxy.cfg"
_ONE_WORKER = {
    "    maxconn 20000": "    nbthread 1\n    maxconn 9000",
    "{ sc0_conn_cur gt 500 } || { sc0_conn_rate gt 100 }": "{ sc0_conn_cur gt 9000 }",
    "shutdown-sessions maxconn 12": "shutdown-sessions maxconn 6",
    "avg_queue(checks) gt 384": "avg_queue(checks) gt 192",
    "avg_queue(checks) gt 768": "avg_queue(checks) gt 384",
}


def program() -> str:
    """HAProxy, Debian's package.

    Raises:
        Absent: it is not installed.
    """
    found = shutil.which("haproxy", path=os.environ.get("PATH", os.defpath) + ":/usr/sbin")
    if found is None:
        raise Absent("no haproxy on this machine: apt-get install haproxy")
    return found


def changed(changes: Mapping[str, str], folder: Path) -> str:
    """The file with these pieces changed, each of which it must hold, and what it keeps on the disk in ``folder``.

    Raises:
        ValueError: it does not hold one of them.
    """
    text = re.sub(r"^    (user|group) haproxy\n", "", CONFIGURATION.read_text("utf-8"), flags=re.MULTILINE)
    for old, new in {**changes, "/run/haproxy/admin.sock": str(folder / "admin.sock")}.items():
        if old not in text:
            raise ValueError(f"{CONFIGURATION} does not hold {old!r}")
        text = text.replace(old, new)
    return text


def plain(port: int, host_port: int, changes: Mapping[str, str], folder: Path) -> str:
    """The same without TLS, on this port, before one host on this machine."""
    places = {
        "bind :443 ssl crt /etc/haproxy/lostid.pem alpn http/1.1": f"bind 127.0.0.1:{port}",
        "10.0.0.11:8080": f"127.0.0.1:{host_port}",
    }
    return re.sub(r"^    server host-2 .*\n", "", changed({**places, **changes}, folder), flags=re.MULTILINE)


@contextmanager
def started(text: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """HAProxy with this configuration, until the block ends.

    Raises:
        Absent: it is not installed.
        ValueError: it does not take the configuration, or warns of it.
    """
    haproxy = program()
    (folder / "haproxy.cfg").write_text(text, "utf-8")
    asked = [haproxy, "-c", "-f", "haproxy.cfg"]
    checked = subprocess.run(asked, cwd=folder, capture_output=True, text=True, check=False)
    if checked.returncode or "WARNING" in checked.stderr:
        raise ValueError(checked.stderr)
    command = [haproxy, "-db", "-f", "haproxy.cfg"]
    with ended(subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)) as process:
        yield process


@contextmanager
def before(server_port: int, folder: Path) -> Iterator[int]:
    """The port of a front with one thread, before a server of one worker; it inherits the core it is started on."""
    port = free_port()
    with started(plain(port, server_port, _ONE_WORKER, folder), folder):
        await_true(lambda: accepts(port))
        yield port
