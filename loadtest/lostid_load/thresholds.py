"""``--threshold 'p99<5ms'``: what a run must keep to, as an exit code."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping

_UNITS = {"": 1.0, "us": 1e-3, "ms": 1.0, "s": 1e3, "%": 0.01, "/s": 1.0}
_OPERATORS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq}
_FORM = re.compile(r"\s*([a-z_][a-z0-9_.]*)\s*(<=|>=|==|<|>)\s*([0-9]+(?:\.[0-9]+)?)\s*(us|ms|s|%|/s|)\s*", re.ASCII)


class ThresholdRefused(Exception):
    """Not a threshold, or of a figure that a run does not have."""


def failed(thresholds: list[str], figures: Mapping[str, float]) -> list[str]:
    """The thresholds that a run did not keep, each with the figure it had. Latencies are in milliseconds.

    Raises:
        ThresholdRefused: see the class.
    """
    broken = []
    for text in thresholds:
        match = _FORM.fullmatch(text)
        if match is None:
            raise ThresholdRefused(f"{text!r} is not a threshold; write e.g. 'p99<5ms' or 'wrong==0'")
        name, sign, number, unit = match.groups()
        if name not in figures:
            raise ThresholdRefused(f"{name!r} is not a figure; there are {', '.join(sorted(figures))}")
        if not _OPERATORS[sign](figures[name], float(number) * _UNITS[unit]):
            broken.append(f"{text} (was {figures[name]:.6g})")
    return broken
