"""The page: 4096 mapped bytes through which the replica tells the workers of its host what they may answer from.

Every slot is an aligned 8-byte word, stored and loaded in one move through a memoryview of format Q. The replica is the
only writer and holds a lock for life; only `zero_lease` may be called by anybody, since 0 is always true.

Stores become visible in the order in which they were made on x86-64 (assumption A3; `store_order_is_kept` tells).
Each value is therefore stored after what it promises: bits, then the position, then the lease.

A worker reads `lease_until` first, then `gen`, then looks up, then reads its clock (invariant I4); see `view`.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import platform
import struct
import time
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final, Self

from lostid.domain.position import Position

PAGE_BYTES: Final = 4096
PAGE_NAME: Final = "page"
LOCK_NAME: Final = "page.lock"
MAGIC: Final = int.from_bytes(b"lostid:P", "little")
FORMAT: Final = 1

SEQLOCK_TRIES: Final = 256
"""A reader spins this often, some 50 microseconds, for a writer that was stopped between two stores."""


class Slot:
    """Word numbers. Slots that change together with every renewal share a cache line."""

    MAGIC = 0
    FORMAT = 1
    BOOT_ID = slice(2, 4)
    KEY_ID = 4
    LEASE_UNTIL = 8
    GEN = 9
    SEQLOCK = 10
    SEQ = 11
    HASH = slice(12, 16)
    AUTH_SEQ = 16
    INC = slice(18, 20)
    PHASE = 24
    DONE = 25
    TOTAL = 26
    TOLD = 27


class Phase(IntEnum):
    """What the replica is doing, for `readyz`."""

    STARTING = 0
    REBUILDING = 1
    CATCHING_UP = 2
    FOLLOWING = 3
    GROWING = 4
    """Following as well: a filter of double capacity is being made next to the one in use."""
    LEDGER_AWAY = 5
    STOPPED = 6


@dataclass(frozen=True, slots=True)
class Progress:
    phase: Phase
    done: int
    total: int


class Unproven(Exception):
    """What the page or the filter holds cannot be shown to be true now. The answer is 503, not a guess."""


class PageHeld(Exception):
    """Another process is the writer of this page."""


_FOUR: Final = struct.Struct("<4Q")
_TWO: Final = struct.Struct("<2Q")
_ONE: Final = struct.Struct("<Q")


def boottime_ns() -> int:
    """The clock of every lease: it goes on while the machine sleeps."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def boot_id() -> bytes:
    """16 bytes that are new with every boot: what was mapped before is not believed."""
    return bytes.fromhex(Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", ""))


def store_order_is_kept() -> bool:
    """Assumption A3. Elsewhere the page must not be used."""
    return platform.machine() in ("x86_64", "AMD64")


def zero_lease(run_dir: Path) -> None:
    """End this host's lease now. Needs no lock: whatever the replica stores at the same time, both orders are true.

    For the supervisor, before it starts a worker on a page that an earlier run left behind. No page: nothing to do.
    """
    try:
        slots = _map(run_dir / PAGE_NAME, mmap.ACCESS_WRITE)
    except (FileNotFoundError, Unproven):
        return
    slots[Slot.LEASE_UNTIL] = 0


class PageReader:
    """The page as a worker sees it. `slots` is for the hot path, which loads single words itself."""

    def __init__(self, run_dir: Path, key_id: bytes, boot: bytes) -> None:
        """Raises Unproven when there is no page, or one of another boot, key or format."""
        self._path = run_dir / PAGE_NAME
        try:
            self.slots = _map(self._path, mmap.ACCESS_READ)
        except FileNotFoundError:
            raise Unproven("no replica has made a page yet") from None
        if not _is_ours(self.slots, key_id, boot):
            raise Unproven("the page is of another boot, key or format")
        self._inode = self._path.stat().st_ino

    def is_current(self) -> bool:
        """False when the file's name leads to another page, or to none: somebody cleaned up under us."""
        try:
            return self._path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    def lease_until(self) -> int:
        return self.slots[Slot.LEASE_UNTIL]

    def gen(self) -> int:
        return self.slots[Slot.GEN]

    def auth_seq(self) -> int:
        return self.slots[Slot.AUTH_SEQ]

    def position(self) -> Position:
        """The pair of one moment. Raises Unproven if the writer stands still between two stores."""
        slots = self.slots
        for _ in range(SEQLOCK_TRIES):
            before = slots[Slot.SEQLOCK]
            if before & 1:
                continue
            position = Position(slots[Slot.SEQ], slots[Slot.HASH].tobytes())
            if slots[Slot.SEQLOCK] == before:
                return position
        raise Unproven("the position is being written")

    def told(self) -> int:
        """Up to which seq this host has told the ledger what it holds. A hint of when to ask, never a proof."""
        return self.slots[Slot.TOLD]

    def progress(self) -> Progress:
        slots = self.slots
        return Progress(Phase(slots[Slot.PHASE]), slots[Slot.DONE], slots[Slot.TOTAL])


class PageWriter:
    """The one writer. The lock is held until the process ends, however it ends."""

    def __init__(self, run_dir: Path, key_id: bytes, boot: bytes) -> None:
        """Raises PageHeld. With the lock comes lease 0; the rest of a page of this boot and key is kept."""
        self._lock = _lock(run_dir / LOCK_NAME)
        self._path = run_dir / PAGE_NAME
        slots = None
        with contextlib.suppress(FileNotFoundError, Unproven):
            slots = _map(self._path, mmap.ACCESS_WRITE)
        if slots is None or not _is_ours(slots, key_id, boot):
            slots = _make(self._path, key_id, boot)
        self.slots = slots
        self.zero_lease()
        self._inode = self._path.stat().st_ino

    def is_current(self) -> bool:
        """As for the reader: a replica whose page has lost its name talks to nobody."""
        try:
            return self._path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    def zero_lease(self) -> None:
        self.slots[Slot.LEASE_UNTIL] = 0

    def grant(self, until_ns: int) -> None:
        """Only after everything in the granting snapshot has been published."""
        self.slots[Slot.LEASE_UNTIL] = until_ns

    def flip(self, gen: int) -> None:
        """Readers look up in this generation from now on. It holds all that the old one held."""
        self.slots[Slot.GEN] = gen

    def publish(self, position: Position) -> None:
        """After the bits of every entry up to it."""
        slots = self.slots
        odd = slots[Slot.SEQLOCK] | 1  # a writer killed between the stores left it odd
        slots[Slot.SEQLOCK] = odd
        slots[Slot.SEQ] = position.seq
        start = Slot.HASH.start
        slots[start], slots[start + 1], slots[start + 2], slots[start + 3] = _FOUR.unpack(position.hash)
        slots[Slot.SEQLOCK] = odd + 1

    def show(self, gen: int, position: Position) -> None:
        """At a load: both at once. The old position is taken down before gen flips, so that a kill in between leaves
        no pair of the two that never was. auth_seq may fall here: what it stood at may have been lost with a failover,
        and no key cache could ever show that it knows it."""
        self.slots[Slot.SEQLOCK] |= 1
        self.slots[Slot.AUTH_SEQ] = position.seq
        self.flip(gen)
        self.publish(position)

    @property
    def blank(self) -> bool:
        """Nothing has ever been published on this page."""
        return not self.slots[Slot.SEQLOCK]

    def position(self) -> Position | None:
        """What the last writer published, or None where it was killed while publishing, or never did."""
        slots = self.slots
        if slots[Slot.SEQLOCK] & 1 or self.blank:
            return None
        return Position(slots[Slot.SEQ], slots[Slot.HASH].tobytes())

    def set_auth_seq(self, seq: int) -> None:
        """Never lowered while entries follow one another: a key cache that is newer than asked for does no harm."""
        if seq > self.slots[Slot.AUTH_SEQ]:
            self.slots[Slot.AUTH_SEQ] = seq

    def tell(self, seq: int) -> None:
        """The ledger has answered a RENEW with this seq."""
        self.slots[Slot.TOLD] = seq

    @property
    def gen(self) -> int:
        return self.slots[Slot.GEN]

    @property
    def inc(self) -> bytes | None:
        """The incarnation noted before the last JOIN was sent; its row may still be there."""
        raw = self.slots[Slot.INC].tobytes()
        return raw if any(raw) else None

    def note_inc(self, inc: bytes) -> None:
        """Before JOIN is sent, so that whoever comes after knows which row to delete."""
        start = Slot.INC.start
        self.slots[start], self.slots[start + 1] = _TWO.unpack(inc)

    def report(self, phase: Phase, done: int = 0, total: int = 0) -> None:
        slots = self.slots
        slots[Slot.DONE], slots[Slot.TOTAL] = done, total
        slots[Slot.PHASE] = phase

    def close(self) -> None:
        """Give up the lock. For tests and for an orderly end; a kill does the same."""
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _map(path: Path, access: int) -> memoryview:
    fd = os.open(path, (os.O_RDONLY if access == mmap.ACCESS_READ else os.O_RDWR) | os.O_CLOEXEC)
    try:
        if os.fstat(fd).st_size != PAGE_BYTES:
            raise Unproven("not a page")
        return memoryview(mmap.mmap(fd, PAGE_BYTES, access=access)).cast("Q")
    finally:
        os.close(fd)


def _is_ours(slots: memoryview, key_id: bytes, boot: bytes) -> bool:
    return (
        slots[Slot.MAGIC] == MAGIC
        and slots[Slot.FORMAT] == FORMAT
        and slots[Slot.KEY_ID] == _ONE.unpack(key_id)[0]
        and slots[Slot.BOOT_ID].tobytes() == boot
    )


def _make(path: Path, key_id: bytes, boot: bytes) -> memoryview:
    """A fresh page under a new inode: whoever still maps an old one of that name sees its lease end."""
    fresh = path.with_suffix(".new")
    raw = bytearray(PAGE_BYTES)
    slots = memoryview(raw).cast("Q")
    slots[Slot.MAGIC], slots[Slot.FORMAT] = MAGIC, FORMAT
    slots[Slot.BOOT_ID] = memoryview(boot).cast("Q")
    slots[Slot.KEY_ID] = _ONE.unpack(key_id)[0]
    fresh.touch(mode=0o600)
    fresh.write_bytes(raw)
    fresh.replace(path)
    return _map(path, mmap.ACCESS_WRITE)


def _lock(path: Path) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise PageHeld("another replica is the writer of this page") from None
    return fd
