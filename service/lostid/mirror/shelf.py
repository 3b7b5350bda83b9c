"""Finished snapshots on this host's disk, one file for each mirror, and the order for a new one.

A file is a line of facts, padded to a page, and the bits; made aside and renamed, so that a name leads to a whole file
or to none. Without the mirror's secret the bits tell nobody anything. One build runs on a host at a time: the lock on
the directory is inherited by the builder and ends with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

from lostid.settings import private_dir

BUILDER: Final = "lostid.mirror.builder"
HEADER_BYTES: Final = 4096
FORMAT: Final = 1
MOST_BITS_BYTES: Final = 1 << 30
"""The largest filter that is built: some 350 million documents."""

_LOCK: Final = ".lock"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a snapshot's file says of itself. `key_id`: the keyring it was made with. `seq`, `hash` (hex): it holds all
    documents of the entries up to there, but those of which nothing was in force."""

    format: int
    key_id: str
    mirror: str
    seq: int
    hash: str
    as_of_ms: int
    documents: int
    capacity: int
    slices: int
    bits_per_slice: int
    bytes: int
    sha256: str


class Shelf:
    """One per worker; the directory is the host's."""

    def __init__(self, directory: Path, key_id: bytes, environment: Mapping[str, str]) -> None:
        self._directory = directory
        self._key_id = key_id.hex()
        self._environment = dict(environment)
        self._builder: asyncio.subprocess.Process | None = None

    def path(self, mirror_id: str) -> Path:
        return path_of(self._directory, mirror_id)

    def find(self, mirror_id: str) -> Facts | None:
        """Of the snapshot that lies there, if it is whole and was made with our keys."""
        facts = read_facts(self.path(mirror_id))
        return facts if facts is not None and facts.key_id == self._key_id else None

    async def order(self, mirror_id: str) -> None:
        """Have a new snapshot made, unless something is being built on this host. Does not wait for it."""
        private_dir(self._directory)
        lock = os.open(self._directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            argv = [sys.executable, "-P", "-m", BUILDER, str(self._directory), mirror_id, str(os.getpid())]
            self._builder = await asyncio.create_subprocess_exec(
                *argv, env=self._environment, stdin=asyncio.subprocess.DEVNULL, pass_fds=(lock,)
            )
        except BlockingIOError:
            pass  # by somebody, for somebody: the next request will see
        finally:
            os.close(lock)

    async def close(self) -> None:
        """End a build of ours."""
        builder, self._builder = self._builder, None
        if builder is not None:
            with contextlib.suppress(ProcessLookupError):
                builder.kill()
            await builder.wait()


def path_of(directory: Path, mirror_id: str) -> Path:
    return directory / f"{mirror_id}.mirror"


def read_facts(path: Path) -> Facts | None:
    """None: there is no such file, or none that this version reads."""
    try:
        with path.open("rb") as file:
            told = json.loads(file.read(HEADER_BYTES))
            size = os.fstat(file.fileno()).st_size
        facts = Facts(**{field.name: told[field.name] for field in fields(Facts)})
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return facts if facts.format == FORMAT and size == HEADER_BYTES + facts.bytes else None


def header(facts: Facts) -> bytes:
    """The first page of a snapshot's file."""
    return json.dumps(asdict(facts)).encode().ljust(HEADER_BYTES - 1) + b"\n"
