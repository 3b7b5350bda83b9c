"""A new generation, made by a process of its own: the replica orders it, watches it, and is never held up by it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from lostid.domain.position import Position
from lostid.filter.header import Identity
from lostid.replication.swap import Build

BUILDER: Final = "lostid.replication.rebuilder"


@dataclass(frozen=True, slots=True)
class Order:
    """What to build. `contains`: the snapshot must have this position, or the build is worth nothing to us."""

    run_dir: Path
    identity: Identity
    capacity: int
    by_estimate: bool
    contains: Position | None
    parent: int = field(default_factory=os.getpid)

    def dump(self) -> str:
        return json.dumps(asdict(self), default=lambda value: value.hex() if isinstance(value, bytes) else str(value))

    @classmethod
    def load(cls, text: str) -> Order:
        told = json.loads(text)
        identity, contains = told["identity"], told["contains"]
        return cls(
            Path(told["run_dir"]),
            Identity(identity["gen"], bytes.fromhex(identity["key_id"]), bytes.fromhex(identity["boot_id"])),
            told["capacity"],
            told["by_estimate"],
            Position(contains["seq"], bytes.fromhex(contains["hash"])) if contains else None,
            told["parent"],
        )


@dataclass(frozen=True, slots=True)
class Step:
    """Said by the builder, one JSON line each: how far it is, and with `position` that it is done."""

    share: float
    position: Position | None = None

    def dump(self) -> str:
        at = self.position
        return json.dumps({"share": self.share} | ({"seq": at.seq, "hash": at.hash.hex()} if at else {}))

    @classmethod
    def load(cls, line: str) -> Step:
        told = json.loads(line)
        return cls(told["share"], Position(told["seq"], bytes.fromhex(told["hash"])) if "seq" in told else None)


class Rebuilding:
    """One build under way. Its process ends with ours (it asks the kernel for that itself)."""

    def __init__(self, order: Order, environment: Mapping[str, str]) -> None:
        self.order = order
        self.share = 0.0
        self.failed = False
        self.built: Build | None = None
        self._rest = b""
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-m", BUILDER, order.dump()],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        os.set_blocking(self.fileno(), False)

    def fileno(self) -> int:
        """Readable when there is something new to `look` at."""
        assert self._child.stdout is not None  # noqa: S101  asked for above
        return self._child.stdout.fileno()

    @property
    def ended(self) -> bool:
        return self.failed or self.built is not None

    def look(self) -> None:
        """Take in what the builder has said. Sets `share`, and in the end `built` or `failed`. Does not wait."""
        while not self.ended:
            try:
                said = os.read(self.fileno(), 65_536)
            except BlockingIOError:
                return
            *lines, self._rest = (self._rest + said).split(b"\n")
            for step in map(Step.load, map(bytes.decode, lines)):
                self.share = step.share
                if step.position is not None:
                    self.built = Build(self.order.identity.gen, step.position)
            if not said and self.built is None:
                self.failed = True
        self.close()

    def close(self) -> None:
        """End it, whatever it is doing."""
        self._child.kill()
        self._child.wait()
        if self._child.stdout is not None:
            with contextlib.suppress(OSError):
                self._child.stdout.close()
