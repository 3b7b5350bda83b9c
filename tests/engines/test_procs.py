"""Children end with their parent, and a data directory belongs to one server at a time."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lostid.engines.procs import (
    DataDirInUse,
    DataDirLock,
    EngineRefused,
    living_in,
    reap_strangers,
    spawn,
    stop,
    wait_until_left,
)
from tests.conftest import wait_for

PARENT = """
import signal, sys, time
from pathlib import Path
from lostid.engines.procs import User, spawn
user = User(65520, 65520) if {root} else None
child = spawn(["/bin/sh", "-c", "exec sleep 60"], death=signal.SIGKILL, user=user)
print(child.pid, flush=True)
time.sleep(60)
"""


def ended(pid: int) -> bool:
    """Gone, or dead and only waiting for whoever inherited it to look."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_death(tmp_path: Path) -> None:
    """A parent killed with SIGKILL takes its child along, also a child that has become another user."""
    script = PARENT.format(root=os.geteuid() == 0)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=tmp_path) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert not ended(child)
        parent.kill()
    wait_for(lambda: ended(child), 5, "the child ends")


def test_session() -> None:
    """A child leads a session of its own: ^C on the terminal does not reach it."""
    child = spawn([sys.executable, "-c", "import time; time.sleep(60)"], death=signal.SIGKILL)
    try:
        assert os.getsid(child.pid) == child.pid
    finally:
        stop(child, signal.SIGTERM, 5)


def test_signals_reach_children() -> None:
    """A child can be asked to stop although its parent blocks its own signals."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        child = spawn([sys.executable, "-c", "import time; time.sleep(60)"], death=signal.SIGKILL)
        assert stop(child, signal.SIGTERM, 5) == -signal.SIGTERM
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_strangers() -> None:
    """An orphan that was inherited is let go of; a child of one's own is left to whoever waits for it."""
    stranger = os.posix_spawn("/bin/true", ["true"], {})
    child = spawn(["/bin/true"], death=signal.SIGKILL)
    wait_for(lambda: ended(stranger) and ended(child.pid), 5, "both end")
    for _ in range(2):  # which of the two is found first is not said
        reap_strangers([child.pid])
        assert child.poll() in (None, 0)
    with pytest.raises(ChildProcessError):
        os.waitpid(stranger, 0)
    assert child.wait() == 0


def test_last_resort() -> None:
    """A child that does not listen is killed."""
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE, start_new_session=True) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert stop(child, signal.SIGTERM, 0.05) == -signal.SIGKILL


def test_lock(tmp_path: Path) -> None:
    """A second server on the same data directory is refused, and told by whom."""
    with DataDirLock(tmp_path / "data"), pytest.raises(DataDirInUse, match=f"process {os.getpid()}"):
        DataDirLock(tmp_path / "data")
    DataDirLock(tmp_path / "data").release()


def test_lock_ends_with_its_holder(tmp_path: Path) -> None:
    """The lock outlives neither its holder nor is it kept by the holder's children."""
    holder = (
        "import subprocess, sys; from pathlib import Path; from lostid.engines.procs import DataDirLock\n"
        f"lock = DataDirLock(Path({str(tmp_path)!r}))\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True); import time; time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", holder], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        with pytest.raises(DataDirInUse):
            DataDirLock(tmp_path)
        process.kill()
        process.wait()
        try:
            DataDirLock(tmp_path).release()
        finally:
            os.kill(child, signal.SIGKILL)


def test_waiting_for_the_old(tmp_path: Path) -> None:
    """Who works in a directory is found; a start waits for them to leave, and refuses when they do not."""
    child = spawn(["/bin/sleep", "60"], death=signal.SIGKILL, cwd=tmp_path)
    program = Path("/bin/sleep").resolve().name
    try:
        assert living_in(tmp_path, program) == [child.pid]
        assert living_in(tmp_path, "postgres") == []  # another program's process may stand there
        with pytest.raises(EngineRefused, match=str(child.pid)):
            wait_until_left(tmp_path, program, 0.05)
    finally:
        stop(child, signal.SIGTERM, 5)
    wait_until_left(tmp_path, program)
    assert living_in(tmp_path / "missing", program) == []
