"""The harness's end of the proxy: start it, make links, make them behave."""

from __future__ import annotations

import json
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from lostid.engines.procs import spawn, stop
from tests.serving import free_port
from tests.waiting import wait_for

Target = tuple[str, int] | Path


class Links:
    """A proxy process. Its links' ports stay the same, whatever they lead to."""

    def __init__(self, folder: Path) -> None:
        path = folder / "links.sock"
        with (folder / "proxy.log").open("ab") as log:
            self._process = spawn(
                [sys.executable, "-m", "tests.faults.proxy", path], death=signal.SIGKILL, cwd=Path.cwd(), output=log
            )
        self._control = socket.socket(socket.AF_UNIX)
        self._control.settimeout(10)
        wait_for(lambda: self._control.connect_ex(str(path)) == 0, 20, "the proxy's control socket")
        self._replies = self._control.makefile("rb")
        self.ports: dict[str, int] = {}

    def open(self, link: str, target: Target) -> int:
        """A new link; returns its port."""
        port = free_port()
        self._do("open", link, port=port, target=_written(target))
        self.ports[link] = port
        return port

    def lead(self, link: str, target: Target, *, reset: bool) -> None:
        """New connections go to `target`; the open ones stay where they are, or are reset."""
        self._do("target", link, target=_written(target))
        if reset:
            self._do("reset", link)

    def mode(self, link: str, name: str, **how: Any) -> None:
        self._do("mode", link, name=name, **how)

    def heal(self, link: str) -> None:
        self._do("mode", link, name="pass")

    def reset(self, link: str) -> None:
        self._do("reset", link)

    def close(self) -> None:
        self._replies.close()
        self._control.close()
        stop(self._process, signal.SIGTERM, 2)

    def _do(self, command: str, link: str, **more: Any) -> dict[str, Any]:
        self._control.sendall(json.dumps({"command": command, "link": link, **more}).encode() + b"\n")
        reply: dict[str, Any] = json.loads(self._replies.readline())
        return reply


def _written(target: Target) -> list[str | int]:
    return [str(target)] if isinstance(target, Path) else list(target)
