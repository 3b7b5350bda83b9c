"""Children that begin as copies of this process: what it has loaded they need not load, and hold in memory, again.

What must hold, as it does after the start of a program: the child ends with its parent, whatever ends it; it hears its
signals; of its parent's files it has those that it is given and no other (a lock on a data directory, once inherited,
would outlive the server); and nothing that the parent wants to do at its own end is done at the child's.
"""

import contextlib
import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable, Collection
from pathlib import Path
from typing import IO

from lostid.engines.procs import end_with


class Forked:
    """The child, seen by its parent. What `subprocess.Popen` is to a program."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        return self._look(os.WNOHANG)

    def wait(self) -> int:
        code = self._look(0)
        assert code is not None  # noqa: S101  it has been waited for
        return code

    def send_signal(self, number: int, /) -> None:
        if self.poll() is None:  # else the number may be another process's by now
            os.kill(self.pid, number)

    def _look(self, options: int) -> int | None:
        if self._code is None:
            pid, status = os.waitpid(self.pid, options)
            if pid != 0:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code


def fork(
    run: Callable[[], int], title: str, *, death: signal.Signals, keep: Collection[int] = (), output: IO[bytes] | None
) -> Forked:
    """Make a child that does `run` and ends with the exit code that it returns. Call it from the main thread, the only
    one: a lock that another thread holds would stay locked in the child.

    `title`: what `ps` shows. `keep`: descriptors for the child. `output`: instead of standard output and error.
    """
    parent = os.getpid()
    pid = os.fork()
    if pid != 0:
        return Forked(pid)
    code = 1
    try:
        os.setsid()  # ^C on a terminal reaches the parent alone, a stop reaches the whole group
        end_with(parent, death)
        _let_go(keep, output)
        _show(title)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        code = run()
    except SystemExit as end:
        code = _told(end)
    except BaseException:  # we stand on the parent's stack: nothing may get there
        traceback.print_exc()
    finally:
        os._exit(code)


def _let_go(keep: Collection[int], output: IO[bytes] | None) -> None:
    """By number, without asking the objects that they belong to: those are the parent's, and live as long as we do."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    if output is not None:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  names will do
        if int(name) > 2 and int(name) not in keep:
            with contextlib.suppress(OSError):  # the one that listed them
                os.close(int(name))


def _show(title: str) -> None:
    """Write over the command line that we have from our parent, as setproctitle(3) does elsewhere."""
    # arg_start and arg_end, fields 48 and 49 of proc_pid_stat(5). The name before them may hold anything but is last in
    # parentheses.
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    words = title.replace(" ", "\0").encode()[: max(0, end - start - 1)]
    ctypes.memmove(start, words.ljust(end - start, b"\0"), end - start)


def _told(end: SystemExit) -> int:
    """As Python ends a program."""
    if end.code is None or isinstance(end.code, int):
        return end.code or 0
    print(end.code, file=sys.stderr, flush=True)
    return 1
