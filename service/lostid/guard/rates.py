"""How often a key may ask: GCRA, and a mapped file through which the workers of one host share it.

The rate is per host. A request pays for the documents it checks and is admitted while the key has any credit: a batch
may run into debt, and the next request then waits until it is paid. So the mean holds, whatever the size of batches.

`decide` is pure. `Rates` is its shell: one 8-byte slot per API key, locked between load and store."""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path

NAME = "rates"
SLOTS = 65_536
BURST_NS = 1_000_000_000  # a second's worth at once
LONGEST_DEBT_NS = 3_600_000_000_000  # a batch has at most 1,000 documents: what is further ahead is of another boot
LOCK_TRIES = 16
_SLOT = struct.Struct("=Q")


@dataclass(frozen=True, slots=True)
class Verdict:
    allowed: bool
    remaining: int  # documents that may follow at once
    reset_ns: int  # until the whole burst is there again
    retry_ns: int  # until there is credit again; 0 when allowed


def decide(until_ns: int, now_ns: int, rate: int, cost: int) -> tuple[int, Verdict]:
    """(the slot's new value, the verdict). The slot holds the time at which everything taken so far is paid for."""
    interval = 1_000_000_000 // rate
    tolerance = max(0, BURST_NS - interval)
    debt = max(0, until_ns - now_ns)
    if debt > LONGEST_DEBT_NS:
        debt = 0
    if debt > tolerance:
        return until_ns, Verdict(False, 0, debt, debt - tolerance)
    debt += cost * interval
    return now_ns + debt, Verdict(True, max(0, (BURST_NS - debt) // interval), debt, 0)


class Rates:
    """The host's rates, mapped. What a lost lock could do at worst: let a request through, never stop one."""

    def __init__(self, run_dir: Path) -> None:
        self._fd = os.open(run_dir / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(self._fd).st_size < SLOTS * 8:
            os.ftruncate(self._fd, SLOTS * 8)  # only ever grows: another worker may be mapping it
        self._map = mmap.mmap(self._fd, SLOTS * 8)

    def take(self, slot: int, rate: int, cost: int, now_ns: int) -> Verdict:
        """Charge `cost` documents to a key. `slot` is the key's own number; beyond the file two keys share one."""
        at = slot % SLOTS * 8
        locked = self._lock(at)
        try:
            until, verdict = decide(_SLOT.unpack_from(self._map, at)[0], now_ns, rate, cost)
            _SLOT.pack_into(self._map, at, until)
        finally:
            if locked:
                fcntl.lockf(self._fd, fcntl.LOCK_UN, 8, at)
        return verdict

    def _lock(self, at: int) -> bool:
        """Never waits: a worker stopped between load and store must not stop the others."""
        for _ in range(LOCK_TRIES):
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 8, at)
            except OSError:
                continue
            return True
        return False

    def close(self) -> None:
        self._map.close()
        os.close(self._fd)
