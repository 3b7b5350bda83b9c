"""The rule for starting children again."""

import signal
import subprocess
import sys

import pytest

from lostid.engines.procs import spawn
from lostid.units import SLOWEST_S, Unit, delay
from tests.conftest import wait_for


def test_delay() -> None:
    """The first failure costs no time, the next ones more and more, none more than five seconds."""
    delays = [delay(failures) for failures in range(1, 20)]
    assert delays[0] == 0
    assert delays == sorted(delays)
    assert delays[-1] == SLOWEST_S


def short_lived() -> "subprocess.Popen[bytes]":
    return spawn([sys.executable, "-c", "raise SystemExit(7)"], death=signal.SIGKILL)


def test_no_process_to_be_had() -> None:
    """Where no process can be made the unit is tried again later, later and later."""

    def refused() -> "subprocess.Popen[bytes]":
        raise BlockingIOError("no more processes")

    unit = Unit("none", refused, (signal.SIGTERM, 1.0))
    with pytest.raises(BlockingIOError):
        unit.start_if_due()
    with pytest.raises(BlockingIOError):
        unit.start_if_due()
    assert unit.failures == 2
    assert not unit.start_if_due()


def test_started_again() -> None:
    """A child that ended is reported once, with its exit code, and started again when it is due and nothing is in the
    way."""
    vacant = False
    unit = Unit("short", short_lived, (signal.SIGTERM, 1.0), lambda: vacant)
    unit.start()
    wait_for(lambda: not unit.alive, 5, "it ends")
    assert unit.reap() == 7
    assert unit.reap() is None
    assert unit.failures == 1
    assert not unit.start_if_due()
    vacant = True
    assert unit.start_if_due()
    wait_for(lambda: not unit.alive, 5, "it ends again")
    assert unit.reap() == 7
    assert not unit.start_if_due()  # the second failure in a row has to wait
