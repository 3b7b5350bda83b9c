"""One filter file: `filter.<gen>`. A generation is made once, grows by bits only, and is never truncated or reused."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from lostid.domain.position import Position
from lostid.filter.bloom import Contains, MappedBloom, Sizing
from lostid.filter.header import HEADER_BYTES, Counters, Identity, Malformed, State, pack_fixed, unpack_fixed

_PREFIX: Final = "filter."
_BATCH_SLACK: Final = 65_536
"""A kill between the bits and their count leaves at most one batch of applied keys uncounted."""


def path_of(run_dir: Path, gen: int) -> Path:
    return run_dir / f"{_PREFIX}{gen}"


def generations(run_dir: Path) -> list[int]:
    """The numbers of the files that are there, ascending."""
    names = (path.name.removeprefix(_PREFIX) for path in run_dir.glob(_PREFIX + "*"))
    return sorted(int(name) for name in names if name.isdigit())


class Generation:
    """A mapped filter file. Made by `create` (one writer), `open_writer` or `open_reader`."""

    contains: Contains

    def __init__(self, memory: mmap.mmap, identity: Identity, sizing: Sizing, *, writable: bool) -> None:
        view = memoryview(memory) if writable else memoryview(memory).toreadonly()
        self.identity = identity
        self.sizing = sizing
        self.counters = Counters(view[:HEADER_BYTES])
        self.bloom = MappedBloom(view[HEADER_BYTES:], sizing, self.counters.count, self.counters.bits_set)
        self.contains = self.bloom.contains

    @classmethod
    def create(cls, run_dir: Path, identity: Identity, sizing: Sizing) -> Generation:
        """A new, empty file in state BUILDING; FileExistsError if there is one of that number."""
        size = HEADER_BYTES + sizing.bytes
        fd = os.open(path_of(run_dir, identity.gen), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, size)  # a full tmpfs refuses here, and does not kill a writer in mid-page later
            memory = mmap.mmap(fd, size)
        finally:
            os.close(fd)
        fixed = pack_fixed(identity, sizing)
        memory[: len(fixed)] = fixed
        made = cls(memory, identity, sizing, writable=True)
        made.counters.state = State.BUILDING
        return made

    @classmethod
    def open_writer(cls, run_dir: Path, expected: Identity) -> Generation:
        return cls._open(run_dir, expected, writable=True)

    @classmethod
    def open_reader(cls, run_dir: Path, expected: Identity) -> Generation:
        """Mapped read-only. FileNotFoundError: replaced by a newer generation meanwhile."""
        return cls._open(run_dir, expected, writable=False)

    @classmethod
    def _open(cls, run_dir: Path, expected: Identity, *, writable: bool) -> Generation:
        fd = os.open(path_of(run_dir, expected.gen), (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)
        try:
            identity, sizing = unpack_fixed(os.pread(fd, HEADER_BYTES, 0))
            if identity != expected:
                raise Malformed("made for another generation, key or boot")
            if os.fstat(fd).st_size != HEADER_BYTES + sizing.bytes:
                raise Malformed("the file is not as long as its header says")
            memory = mmap.mmap(fd, 0, access=mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ)
        finally:
            os.close(fd)
        opened = cls(memory, identity, sizing, writable=writable)
        if opened.counters.state != State.COMPLETE:
            raise Malformed("was never completed")
        return opened

    def add_all(self, keys: Iterable[bytes]) -> None:
        """For the few keys of applied entries: the bits first, then their count."""
        add = self.bloom.add
        for key in keys:
            add(key)
        self._count()

    def add_many(self, keys: bytes | memoryview) -> int:
        """For many keys, given end to end."""
        fresh = self.bloom.add_many(keys)
        self._count()
        return fresh

    def complete(self, position: Position) -> None:
        """Everything up to `position` is in; readers may map this file from now on."""
        self.bloom.bits_set = self.bloom.popcount()
        self._count()
        self.counters.note(position)
        self.counters.state = State.COMPLETE

    def self_test(self, canaries: Iterable[bytes]) -> None:
        """Raises Malformed if bits were lost or a canary is not found. Takes milliseconds per 10 million keys."""
        said, seen = self.counters.bits_set, self.bloom.popcount()
        if not said <= seen <= said + _BATCH_SLACK * self.sizing.slices:
            raise Malformed(f"{seen} bits are set, the header says {said}")
        self.bloom.bits_set = seen
        if not all(map(self.contains, canaries)):
            raise Malformed("a canary is not in the filter")

    def _count(self) -> None:
        self.counters.store(self.bloom.count, self.bloom.bits_set)
