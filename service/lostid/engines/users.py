"""Whom the engines run as when the server is root: a number that belongs to nobody else."""

import os
import pwd
from collections.abc import Callable
from pathlib import Path

from .procs import EngineRefused, User, become

# systemd's table of user ids leaves 65520 to 65533 without a use (systemd.io/UIDS-GIDS). `nobody` has many: NFS,
# containers and daemons share it. And `postgres` may own somebody else's data.
UNUSED_UIDS = range(65520, 65534)


def engine_user(data_dir: Path) -> User | None:
    """Whom the engines of this data directory run as. None: as this process, which is not root.

    Otherwise the owner of what is there, or for a new data directory a user id that is nobody's.
    """
    if os.geteuid() != 0:
        return None
    for owned in (data_dir / "postgres", data_dir / "valkey"):
        if owned.exists():
            found = owned.stat()
            if found.st_uid == 0:
                raise EngineRefused(f"{owned} belongs to root, and PostgreSQL does not run as root: chown -R it")
            return checked(User(found.st_uid, found.st_gid))
    uid = next(uid for uid in UNUSED_UIDS if not _named(uid))
    return checked(User(uid, uid))


def named_user() -> User:
    """An unprivileged user with a name, for initdb, which insists on one (it owns nothing once the cluster is made)."""
    for entry in sorted(pwd.getpwall(), key=lambda e: e.pw_name != "nobody"):
        if entry.pw_uid != 0:
            return User(entry.pw_uid, entry.pw_gid)
    raise EngineRefused("initdb needs a user other than root in /etc/passwd, `nobody` for example")


def checked(user: User) -> User:
    """Root in a container may lack the right to become others, or the user id may not exist there."""
    if not try_as(user, lambda: True):
        raise EngineRefused(
            f"this root may not become user {user.uid}, and PostgreSQL does not run as root: "
            "run the server as an ordinary user, or give LOSTID_DATABASE_URL and LOSTID_REDIS_URL"
        )
    return user


def try_as(user: User, attempt: Callable[[], bool]) -> bool:
    """Whether `attempt` succeeds as that user: really tried, in a forked child."""
    pid = os.fork()
    if pid == 0:
        answer = 1
        try:
            become(user)
            answer = 0 if attempt() else 1
        finally:
            os._exit(answer)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _named(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True
