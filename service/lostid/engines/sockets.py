"""Where the engines' sockets lie. sun_path holds 107 bytes (unix(7)), and a data directory's path may be longer."""

import os
from pathlib import Path

from .procs import EngineRefused, User

# The first that is there. All but the last are memory, so a reboot leaves no dead sockets behind.
PLACES = (Path("/dev/shm"), Path("/run"), Path("/tmp"))  # noqa: S108  the directory made there is 0700 and checked for its owner


def sockets_dir(place: str, user: User | None) -> Path:
    """Make or find the sockets' directory of the data directory called `place`: mode 0700, the engines' user's."""
    owner = User(os.geteuid(), os.getegid()) if user is None else user
    path = sockets_path(place)
    try:
        path.mkdir(mode=0o700)
        os.chown(path, owner.uid, owner.gid)
    except FileExistsError:
        pass
    found = path.lstat()
    if path.is_symlink() or not path.is_dir() or found.st_uid not in (owner.uid, os.geteuid()) or found.st_mode & 0o077:
        raise EngineRefused(f"{path} is in the way: it should be a directory of user {owner.uid}, mode 0700")
    if found.st_uid != owner.uid:  # made by a start that ended before it could give it away
        os.chown(path, owner.uid, owner.gid)
    return path


def sockets_path(place: str) -> Path:
    """Known to every command that knows the data directory, whether or not a server runs."""
    for parent in PLACES:
        if os.access(parent, os.W_OK | os.X_OK):
            return parent / f"lostid-{place}.s"
    raise EngineRefused(f"no place for the engines' sockets: none of {', '.join(map(str, PLACES))} can be written to")
