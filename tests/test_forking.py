"""Copies of a process: they end with it, hear their signals, and have nothing of it but what they were given."""

import subprocess
import sys
from pathlib import Path

from tests.conftest import wait_for
from tests.engines.test_procs import ended

PARENT = """
import atexit, fcntl, os, signal, sys, time
from lostid.forking import fork

def begin(run, **more):
    return fork(run, "lostid _child", death=signal.SIGKILL, output=None, **more)
"""

DEATH = """
child = begin(lambda: time.sleep(60))
print(child.pid, flush=True)
time.sleep(60)
"""

ENDS = """
atexit.register(print, "the parent's own end", flush=True)
def refuse(why):
    raise SystemExit(why)
try:
    for run in (lambda: 7, lambda: refuse(8), lambda: refuse(None), lambda: refuse("refused"), lambda: 1 / 0):
        print(begin(run).wait(), flush=True)
    child = begin(lambda: os.kill(os.getpid(), signal.SIGKILL))
    assert child.wait() == child.poll() == -signal.SIGKILL
    child.send_signal(signal.SIGTERM)  # to nobody
finally:
    print("the parent's own affair", flush=True)
"""

SIGNALS = """
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
child = begin(lambda: time.sleep(60))
while os.getsid(child.pid) != child.pid:
    time.sleep(0.01)
assert child.poll() is None
child.send_signal(signal.SIGTERM)
assert child.wait() == -signal.SIGTERM
"""

FILES = """
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
hears, tells = os.pipe()
waits, goes = os.pipe()

def is_open(number):
    try:
        os.fstat(number)
    except OSError:
        return False
    return True

def look():
    assert [number for number in range(100) if is_open(number)] == [0, 1, 2, tells, waits]
    assert os.readlink("/proc/self/fd/0") == os.devnull
    print(open("/proc/self/cmdline").read().rstrip(chr(0)).split(chr(0)), flush=True)
    os.write(tells, b".")
    os.read(waits, 1)
    return 0

child = begin(look, keep=[waits, tells])
os.close(tells)
assert os.read(hears, 1)
os.close(lock)
fcntl.flock(os.open(sys.argv[1], os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)  # else the child would still hold it
assert child.poll() is None
os.write(goes, b".")
sys.exit(child.wait())
"""


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: this one has threads."""
    argv = [sys.executable, "-c", PARENT + script, *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def test_death() -> None:
    """A parent killed with SIGKILL takes its copies along."""
    with subprocess.Popen([sys.executable, "-c", PARENT + DEATH], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert not ended(child)
        parent.kill()
    wait_for(lambda: ended(child), 5, "the child ends")


def test_ends() -> None:
    """Exit codes are those of a program, and the parent's blocks and its end are the parent's alone."""
    done = run(ENDS)
    assert done.stdout.splitlines() == ["7", "8", "0", "1", "1", "the parent's own affair", "the parent's own end"]
    assert "refused" in done.stderr
    assert "ZeroDivisionError" in done.stderr
    assert done.returncode == 0


def test_signals() -> None:
    """A copy can be asked to stop although its parent blocks its own signals, and leads a session of its own."""
    done = run(SIGNALS)
    assert done.returncode == 0, done.stderr


def test_files(tmp_path: Path) -> None:
    """A copy has no file but those that it was given, and `ps` shows what it is."""
    done = run(FILES, str(tmp_path / "lock"))
    assert (done.returncode, done.stdout) == (0, "['lostid', '_child']\n"), done.stderr
