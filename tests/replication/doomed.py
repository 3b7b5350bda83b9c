"""A replica that kills itself (SIGKILL) at one step: `python -m tests.replication.doomed WHERE [N]`, at the n-th time.

WHERE names a function as module:name or module:Class.name, with "before ", "after " or, for a function that stores
several words, "amid ".
"""

import importlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from lostid.filter.page import Slot
from lostid.replication import replica
from lostid.settings import Settings


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def doom(when: str, where: str, times: int) -> None:
    module, _, path = where.partition(":")
    owner: Any = importlib.import_module(module)
    *outer, name = path.split(".")
    for step in outer:
        owner = getattr(owner, step)
    setattr(owner, name, doomed(getattr(owner, name), when, times))


def doomed(inner: Callable[..., Any], when: str, times: int) -> Callable[..., Any]:
    left = times

    def outer(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        if not left and when == "before":
            die()
        if not left and when == "amid":
            args[0].slots[Slot.SEQLOCK] |= 1  # what `publish` does first
            args[0].slots[Slot.SEQ] = 1 << 60
            die()
        result = inner(*args, **kwargs)
        if not left:
            die()
        return result

    return outer


if __name__ == "__main__":
    when, where = sys.argv[1].split()
    doom(when, where, int(sys.argv[2]) if sys.argv[2:] else 1)
    sys.exit(replica.run(Settings(), None))
