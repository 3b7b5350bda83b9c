"""What a disk holds after a power cut: only what was synced. A journal of how to take back everything else.

What is modelled, for the files below one directory:

    contents   of each 512-byte sector that was written since the file's last fsync or fdatasync, the bytes it had
               before are kept: also where a file is overwritten in place, as PostgreSQL does with its write-ahead log
    size       what was appended, or cut off, comes off or back
    names      a new file has its name for certain once it, or its directory, was synced (as on ext4, xfs and btrfs);
               a rename or a removal once the directory was

A cut takes all of it back, or, given a chance, any part of it: each sector for itself (so pages come out torn), and of
the changes of names those after some point. Not modelled: a disk that loses what it said was synced, and modes, owners
and times. O_DSYNC counts as not synced, which can only find too much.
"""

from __future__ import annotations

import itertools
import os
import random
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512
Inode = tuple[int, int]
_numbers = itertools.count()


def inode(path: str | Path | int) -> Inode:
    found = os.stat(path)
    return found.st_dev, found.st_ino


@dataclass(slots=True)
class _Unsynced:
    """A file that was written to. `fd` reaches it also when it has lost its name."""

    fd: int
    size: int
    before: dict[int, bytes] = field(default_factory=dict)  # sector -> its bytes at the last sync

    def keep(self, start: int, end: int) -> None:
        """These bytes are about to change."""
        wanted = range(start // SECTOR, -(-min(end, self.size) // SECTOR))
        missing = [sector for sector in wanted if sector not in self.before]
        if not missing:
            return
        first = missing[0]
        bytes_ = os.pread(self.fd, (missing[-1] + 1 - first) * SECTOR, first * SECTOR)
        for sector in missing:
            self.before[sector] = bytes_[(sector - first) * SECTOR :][:SECTOR]

    def take_back(self, chance: random.Random | None) -> int:
        """How many sectors lost what was written to them."""
        now = os.fstat(self.fd).st_size
        lost = [sector for sector in self.before if chance is None or chance.random() < 0.5]
        size = self.size if chance is None else chance.choice((self.size, now))
        if size > self.size:
            appended = range(-(-self.size // SECTOR), -(-size // SECTOR))
            for sector in appended:
                if chance is not None and chance.random() < 0.5:
                    os.pwrite(self.fd, b"\0" * min(SECTOR, size - sector * SECTOR), sector * SECTOR)
        os.ftruncate(self.fd, size)
        for sector in lost:
            os.pwrite(self.fd, self.before[sector][: max(0, size - sector * SECTOR)], sector * SECTOR)
        return len(lost) + max(0, now - size) // SECTOR


@dataclass(frozen=True, slots=True)
class _Named:
    """A change of names that its directory has not been synced for. Taken back: what lies at `path` goes to `back` (or
    away), and what lay there before comes back from `kept`."""

    path: str
    directories: frozenset[Inode]
    back: str | None = None
    kept: str | None = None
    new: bool = False  # also certain once the new file itself is synced

    def take_back(self, attic: Path) -> None:
        if os.path.lexists(self.path):
            os.rename(self.path, self.back if self.back is not None else attic / f"undone-{next(_numbers)}")
        if self.kept is not None:
            os.rename(self.kept, self.path)


class Disk:
    """Everything below `root`. Each method is called before what it names happens."""

    def __init__(self, root: Path, attic: Path) -> None:
        """`attic`: an empty directory on the same file system, outside of `root`, for what was removed."""
        self.root = os.path.realpath(root)
        self._attic = attic
        self._files: dict[Inode, _Unsynced] = {}
        self._names: list[_Named] = []

    def has(self, path: str) -> bool:
        return path.startswith(self.root + "/") or path == self.root

    def write(self, file: str, start: int, end: int) -> None:
        """Bytes of an existing file; beyond its end they are appended."""
        self._unsynced(file).keep(start, end)

    def resize(self, file: str, size: int) -> None:
        unsynced = self._unsynced(file)
        unsynced.keep(size, unsynced.size)

    def sync(self, file: str, path: str) -> None:
        """A file or a directory, which lies at `path`."""
        found = inode(file)
        if (unsynced := self._files.pop(found, None)) is not None:
            os.close(unsynced.fd)
        names = self._names
        own = max((n for n, named in enumerate(names) if named.new and named.path == path), default=-1)
        # With the new file's name whatever was done to that name before is certain too.
        self._names = [
            named
            for n, named in enumerate(names)
            if found not in named.directories and not (named.path == path and n <= own)
        ]

    def sync_all(self) -> None:
        self.forget()

    def create(self, path: str) -> None:
        """A file, a link or a directory. Where there is one, nothing happens."""
        if not os.path.lexists(path):
            self._names.append(_Named(path, _parents(path), new=True))

    def remove(self, path: str) -> None:
        if os.path.lexists(path):
            self._names.append(_Named(path, _parents(path), kept=self._keep(path)))

    def rename(self, old: str, new: str) -> None:
        if not os.path.lexists(old):
            return
        self._names.append(_Named(new, _parents(old, new), back=old, kept=self._keep(new)))

    def cut(self, chance: random.Random | None = None) -> dict[str, int]:
        """Everybody is dead: take back all that was not synced, or by chance a part of it."""
        sectors = sum(file.take_back(chance) for file in self._files.values())
        since = 0 if chance is None else chance.randint(0, len(self._names))
        names = self._names[since:]
        for named in reversed(names):
            named.take_back(self._attic)
        told = {"files": len(self._files), "sectors": sectors, "names": len(names)}
        self.forget()
        return told

    def forget(self) -> None:
        for file in self._files.values():
            os.close(file.fd)
        self._files.clear()
        self._names.clear()

    def _unsynced(self, file: str) -> _Unsynced:
        found = inode(file)
        if found not in self._files:
            fd = os.open(file, os.O_RDWR | os.O_CLOEXEC)
            self._files[found] = _Unsynced(fd, os.fstat(fd).st_size)
        return self._files[found]

    def _keep(self, path: str) -> str | None:
        """A second name in the attic for what is about to lose this one."""
        if not os.path.lexists(path):
            return None
        kept = str(self._attic / f"kept-{next(_numbers)}")
        if os.path.isdir(path) and not os.path.islink(path):
            found = os.stat(path)
            os.mkdir(kept, found.st_mode)
            os.chown(kept, found.st_uid, found.st_gid)
        else:
            os.link(path, kept, follow_symlinks=False)
        return kept


def _parents(*paths: str) -> frozenset[Inode]:
    return frozenset(inode(os.path.dirname(path)) for path in paths)
