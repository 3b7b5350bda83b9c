"""Small files that are whole or not at all, and there after a power cut once they were written."""

import os
from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """Put a file of mode 0600 in the place of whatever is there: written aside, synced, then named."""
    aside = path.with_name(f".{path.name}.new")
    aside.unlink(missing_ok=True)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as f:
        f.write(content)
        f.flush()
        os.fsync(f.fileno())
    aside.rename(path)
    sync_names(path.parent)


def make_directory(path: Path) -> None:
    """A directory of mode 0700, and those above it. The name of each is a line in the one above."""
    if path.is_dir():
        return
    make_directory(path.parent)
    path.mkdir(exist_ok=True, mode=0o700)
    sync_names(path.parent)


def sync_names(directory: Path) -> None:
    """What was created, renamed or removed in it stays so."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
