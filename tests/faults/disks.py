"""Small disks that can be filled: a tmpfs with a size limit where this process may mount one.

The harness runs in a mount namespace of its own (`__main__`), so that nothing stays mounted, however it ends.
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_BALLAST = "ballast"
_PIECE = bytes(1 << 20)


class Disk:
    """A directory; where it is no disk of its own (`limited`), it is never filled."""

    def __init__(self, path: Path, megabytes: int, mode: int = 0o755) -> None:
        self.path = path
        path.mkdir(mode=mode, exist_ok=True)
        options = f"size={megabytes}m,mode={mode:o}".encode()
        self.limited = _libc.mount(b"tmpfs", os.fsencode(path), b"tmpfs", 0, options) == 0

    def fill(self) -> None:
        """To the last byte that root may have."""
        if not self.limited:
            raise PermissionError("no right to mount a small disk here, and the large one is everybody's")
        with (self.path / _BALLAST).open("wb", buffering=0) as ballast:
            for piece in (_PIECE, _PIECE[:4096]):
                try:
                    while ballast.write(piece) == len(piece):
                        pass
                except OSError as full:
                    if full.errno != errno.ENOSPC:
                        raise

    def relieve(self) -> None:
        (self.path / _BALLAST).unlink(missing_ok=True)

    def release(self) -> None:
        if self.limited:
            _libc.umount2(os.fsencode(self.path), 2)  # MNT_DETACH: what still has it open keeps it
