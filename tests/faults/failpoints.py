"""The named points of a report, and the plans for them: files in one folder, one for each point.

<point>        what to do there, waiting to be taken by the first worker that comes by
<point>.taken  it is being done, or was
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Final

CRASH: Final = "crash"  # the worker is killed there
HOLD: Final = "hold"  # it waits there until `release`
UNKNOWN: Final = "unknown"  # it learns that the outcome of its commit is not known


class Point(StrEnum):
    """In the order in which a report comes by."""

    PARSED = "parsed"
    AUTHORISED = "authorised"
    COMMITTED = "committed"
    IN_REDIS = "in Redis"
    APPLIED = "applied by every host"
    FENCE_PASSED = "fence passed"
    SIGNED = "receipt signed"
    STORED = "answer stored"
    HALF_SENT = "answer half sent"


class Plans:
    """The folder, seen from a test and from a worker."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)

    def make(self, point: Point, action: str) -> None:
        (self._folder / f"{point}.taken").unlink(missing_ok=True)
        aside = self._folder / f"{point}.new"
        aside.write_text(action)
        aside.rename(self._folder / point)

    def has(self, point: Point) -> bool:
        return (self._folder / point).exists()

    def take(self, point: Point) -> str | None:
        """What is planned; None where nothing is, or another worker was first."""
        try:
            taken = (self._folder / point).rename(self._folder / f"{point}.taken")
        except FileNotFoundError:
            return None
        return taken.read_text()

    def taken(self, point: Point) -> bool:
        return (self._folder / f"{point}.taken").exists()

    def holds(self, point: Point) -> bool:
        """Whether whoever was held there still is."""
        return self.taken(point)

    def release(self, point: Point) -> None:
        (self._folder / f"{point}.taken").unlink()
