"""A command, or a whole server, on a machine whose power the test holds: see `power_cut`."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from lostid.engines.sockets import sockets_path
from tests.serving import Server

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., dict[str, int]]
"""Runs a program on the disk; when it has said `done` the power is cut. Returns what was taken back."""

PROLOGUE = """
    import os, time
    def write(name, text, sync=False, directory=False):
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        with open(name, "wb") as file:
            file.write(text)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        if directory:
            fd = os.open(os.path.dirname(name) or ".", os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)
    def done():
        print("done", flush=True)
        time.sleep(60)
"""
"""What such programs begin with."""


class Powered:
    """A command under watch. `root` is the disk, `attic` an empty directory beside it."""

    def __init__(self, root: Path, attic: Path, command: Sequence[str], **more: Any) -> None:
        attic.mkdir(exist_ok=True)
        self._attic = attic
        argv = [sys.executable, "-m", "tests.faults.power_cut", str(root), str(attic), *command]
        environment: Mapping[str, str] = more.pop("env")
        places = [str(ROOT / place) for place in ("", "clients/lostid_client", "clients/bank")]
        path = os.pathsep.join(filter(None, (*places, environment.get("PYTHONPATH"))))
        self.process = subprocess.Popen(
            argv, env={**environment, "PYTHONPATH": path}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **more
        )

    def line(self) -> bytes:
        """What the command printed next."""
        assert self.process.stdout is not None
        line: bytes = self.process.stdout.readline()
        return line

    def lie(self) -> None:
        """From now on the disk only says that it synced."""
        self._order("lie")

    def cut(self, seed: int | None = None) -> dict[str, int]:
        """Take the power away, and what was not synced with it: all, or by chance a part. Returns how much it was."""
        self._order("cut" if seed is None else f"cut {seed}")
        assert self.process.stdout is not None
        *_, told = self.process.stdout.read().splitlines()
        self.end()
        taken: dict[str, int] = json.loads(told)
        return taken

    def _order(self, words: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{words}\n".encode())
        self.process.stdin.flush()

    def end(self) -> None:
        """Also if nobody cut anything."""
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        self.process.wait(20)
        shutil.rmtree(self._attic, ignore_errors=True)


class PoweredServer(Server):
    """`lostid serve` with its own engines. After a cut it is started again by `start`, on the same port."""

    powered: Powered | None = None

    def start(self, stderr: int | None = None) -> Self:
        argv = [sys.executable, "-m", "lostid", "serve", "--port", str(self.port), "--json"]
        with (self.directory / "stderr").open("ab") as file:
            self.powered = Powered(
                self.directory / "data",
                self.directory / "attic",
                argv,
                env=self.environment,
                stderr=file if stderr is None else stderr,
                cwd=self.directory,
            )
        line = self.powered.line()
        assert b'"url"' in line, (line, self.said)
        self.url = json.loads(line)["url"]
        return self

    def cut(self, seed: int | None = None) -> dict[str, int]:
        """What lay in memory is gone as well."""
        assert self.powered is not None
        taken = self.powered.cut(seed)
        self.powered = None
        self._forget_memory()
        return taken

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        raise NotImplementedError("this one is not stopped, it loses its power")

    def close(self) -> None:
        if self.powered is not None:
            self.powered.end()
        self._forget_memory()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _forget_memory(self) -> None:
        for lost in (self.settings.run_dir, sockets_path(self.settings.place)):
            shutil.rmtree(lost, ignore_errors=True)


def found(disk: Path) -> dict[str, bytes]:
    return {str(path.relative_to(disk)): path.read_bytes() for path in disk.rglob("*") if path.is_file()}
