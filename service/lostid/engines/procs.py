"""Children that never outlive their parent, and the data directory that belongs to one server at a time."""

import contextlib
import ctypes
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

_libc = ctypes.CDLL(None, use_errno=True)  # looked up before any fork: the child only calls
_PR_SET_PDEATHSIG = 1


class EngineRefused(Exception):
    """An engine cannot run here. The sentence says why and what helps."""


class DataDirInUse(Exception):
    """Another server holds this data directory."""


@dataclass(frozen=True, slots=True)
class User:
    """Whom a child becomes. There need be no entry in the password file."""

    uid: int
    gid: int


class Child(Protocol):
    """A process that we started: a `subprocess.Popen`, or what is like it."""

    pid: int

    def poll(self) -> int | None:
        """The exit code once it has ended; that of a signal is negative."""

    def wait(self) -> int: ...

    def send_signal(self, number: int, /) -> None: ...


def spawn(
    argv: Sequence[str | Path],
    *,
    death: signal.Signals,
    cwd: Path | None = None,
    user: User | None = None,
    env: Mapping[str, str] | None = None,
    pass_fds: Iterable[int] = (),
    output: IO[bytes] | int | None = None,
) -> subprocess.Popen[bytes]:
    """Start a child that receives `death` when this thread ends, whatever ends it. Call it from the main thread.

    The child leads a session of its own: ^C on a terminal reaches the parent alone, a stop reaches the whole group.
    """
    parent = os.getpid()

    def in_child() -> None:
        if cwd is not None:
            os.chdir(cwd)  # before the change of user: the way there may be closed to it
        if user is not None:
            become(user)
        end_with(parent, death)  # after the change of user, which clears it (prctl(2))
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    return subprocess.Popen(
        [str(a) for a in argv],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=tuple(pass_fds),
        start_new_session=True,
        preexec_fn=in_child,  # safe: the parent has one thread
    )


def end_with(parent: int, death: signal.Signals) -> None:
    """In a child: receive `death` when the thread that made us ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, int(death), 0, 0, 0)
    # The parent may have ended between fork and prctl; then nobody would send the signal any more.
    if os.getppid() != parent:
        os._exit(1)


def become(user: User) -> None:
    """Give up root for good, supplementary groups first."""
    os.setgroups([])
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)


def stop(child: subprocess.Popen[bytes], politely: signal.Signals, seconds: float) -> int:
    """End a child: first as it likes it, after `seconds` with SIGKILL to its whole group. Returns its exit code."""
    if child.poll() is None:
        child.send_signal(politely)
        try:
            return child.wait(seconds)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
    return child.wait()


def reap_strangers(known: Collection[int]) -> None:
    """Let go of ended processes that nobody else will: the first process of a container inherits every orphan."""
    with contextlib.suppress(ChildProcessError):  # no children at all
        while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if found.si_pid in known:  # its own waiter comes for it, and for the rest there is a next time
                return
            os.waitpid(found.si_pid, os.WNOHANG)


def living_in(directory: Path, program: str) -> list[int]:
    """The processes of this program whose working directory this is. PostgreSQL and Valkey keep theirs in their data.

    Of this program: somebody's shell may stand there as well, and does no harm.
    """
    try:
        here = directory.stat()
    except FileNotFoundError:
        return []
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            there = (entry / "cwd").stat()
            runs = (entry / "exe").readlink().name.removesuffix(" (deleted)")
        except OSError:  # ended meanwhile, or of another user
            continue
        if (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino) and runs == program:
            found.append(int(entry.name))
    return found


def wait_until_left(directory: Path, program: str, seconds: float = 5.0) -> None:
    """Wait for the processes of an earlier server to leave: they end with it, but not within the same instant.

    Only for the holder of the data directory's lock: then nothing may be at work there.
    """
    until = time.monotonic() + seconds
    while left := living_in(directory, program):
        if time.monotonic() >= until:
            raise EngineRefused(
                f"process {left[0]} of an earlier server still works in {directory}; end it and start again"
            )
        time.sleep(0.02)


class DataDirLock:
    """The right to run a server on a data directory: a flock, which ends with its holder however that ends.

    Children do not inherit it (the descriptor closes on exec, and `forking` closes it): none of them can keep it past
    the server's end.
    """

    def __init__(self, data_dir: Path) -> None:
        """Makes the directory where there is none; raises DataDirInUse where another server holds it."""
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._fd = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._fd, 20).decode("ascii", "replace").strip() or "unknown"
            os.close(self._fd)
            raise DataDirInUse(f"another lostid server (process {holder}) is using {data_dir}") from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)  # for the sentence above; the lock is what decides

    def release(self) -> None:
        os.close(self._fd)

    def __enter__(self) -> "DataDirLock":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
