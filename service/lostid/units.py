"""What the supervisor keeps running: one unit for each child, and the rule for starting it again."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from lostid.engines.procs import Child

STEADY_S = 10.0
"""A child that has run this long was no failed start: when it ends it is started again at once."""
SLOWEST_S = 5.0


def delay(failures: int) -> float:
    """Seconds to wait before the next start: none after the first failure, then longer and longer, at most 5."""
    return 0.0 if failures <= 1 else min(SLOWEST_S, 0.1 * 2 ** (failures - 1))


@dataclass
class Unit:
    """One child that is to run all the time."""

    name: str
    launch: Callable[[], Child]
    stops_with: tuple[signal.Signals, float]
    vacant: Callable[[], bool] = lambda: True
    """Whether nothing of the last child is left that would be in the way of the next."""
    child: Child | None = None
    began: float = 0.0
    failures: int = 0
    due: float = 0.0

    @property
    def alive(self) -> bool:
        return self.child is not None and self.child.poll() is None

    def start(self) -> None:
        self.child = self.launch()
        self.began = time.monotonic()

    def reap(self) -> int | None:
        """The exit code, once, of a child that has ended; the unit is then due again after its delay."""
        if self.child is None or (code := self.child.poll()) is None:
            return None
        self.child = None
        self._put_off(steady=time.monotonic() - self.began >= STEADY_S)
        return code

    def start_if_due(self) -> bool:
        """Raises what `launch` raises, where no process can be made now; the unit is then due later."""
        if self.child is not None or time.monotonic() < self.due or not self.vacant():
            return False
        try:
            self.start()
        except Exception:
            self._put_off(steady=False)
            raise
        return True

    def _put_off(self, steady: bool) -> None:
        self.failures = 1 if steady else self.failures + 1
        self.due = time.monotonic() + delay(self.failures)
