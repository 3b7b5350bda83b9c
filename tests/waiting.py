"""Waiting for something to become true, with an end."""

import time
from collections.abc import Callable


def wait_for(ready: Callable[[], bool], seconds: float, what: str) -> None:
    until = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < until, f"{what} within {seconds} s"
        time.sleep(0.01)
