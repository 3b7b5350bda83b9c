"""What is written to stderr: one JSON object per line, never a body, a number or a value of the caller's."""

from __future__ import annotations

import json
import sys
import time
import traceback
from pathlib import PurePath

_FRAMES = 6


def line(event: str, **facts: object) -> None:
    """One line, in one write, so that lines of several workers do not mix."""
    told = {"at_ms": time.time_ns() // 1_000_000, "event": event, **{k: v for k, v in facts.items() if v is not None}}
    sys.stderr.write(json.dumps(told, ensure_ascii=True, separators=(",", ":")) + "\n")
    sys.stderr.flush()


def unexpected(where: str, error: BaseException) -> None:
    """An error that nobody expected: its type and where it was raised. Its message may quote what the caller sent."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    line(
        "error.unexpected",
        where=where,
        type=f"{type(error).__module__}.{type(error).__qualname__}",
        frames=[f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames],
    )
