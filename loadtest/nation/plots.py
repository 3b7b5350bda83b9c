"""Plots as SVG, written by hand: lines over the number of documents, both axes by powers of ten."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

_WIDTH, _HEIGHT = 640, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 150, 40, 45
_COLOURS: Final = ("#1f5fa8", "#c2502a", "#3a7d44", "#7a4fa0")
Series = Mapping[str, Sequence[tuple[float, float]]]


def write(sizes: Sequence[Mapping[str, Any]], out: Path) -> None:
    """``memory.svg`` and ``restart.svg``."""
    memory = {"Redis": _of(sizes, "redis_bytes", 1e-6), "filter": _of(sizes, "filter_bytes", 1e-6)}
    restart = {
        "warm": _of(sizes, "warm_s"),
        "filter made anew": _of(sizes, "cold_s"),
        "Redis filled anew": _of(sizes, "refilled_s"),
    }
    (out / "memory.svg").write_text(svg("Memory, MB", memory), encoding="utf-8")
    (out / "restart.svg").write_text(svg("Seconds after a start", restart), encoding="utf-8")


def _of(sizes: Sequence[Mapping[str, Any]], name: str, unit: float = 1.0) -> list[tuple[float, float]]:
    return [(float(size["documents"]), size[name] * unit) for size in sizes if size.get(name)]


def svg(title: str, series: Series) -> str:
    """Every value must be above zero."""
    points = [point for line in series.values() for point in line]
    across = _Axis([x for x, _ in points], _LEFT, _WIDTH - _RIGHT)
    upwards = _Axis([y for _, y in points], _HEIGHT - _BOTTOM, _TOP)
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"',
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="22" font-size="15">{escape(title)}</text>',
        *(
            _rule(x, _TOP, x, _HEIGHT - _BOTTOM) + _text(x, _HEIGHT - _BOTTOM + 18, name, "middle")
            for x, name in across.marks
        ),
        *(_rule(_LEFT, y, _WIDTH - _RIGHT, y) + _text(_LEFT - 8, y + 4, name, "end") for y, name in upwards.marks),
        _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8, "documents", "middle"),
    ]
    for (name, line), colour in zip(series.items(), _COLOURS, strict=False):
        placed = [(across.at(x), upwards.at(y)) for x, y in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        drawn += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in placed]
        drawn += [
            f'<text x="{x + 8:.1f}" y="{y + 4:.1f}" fill="{colour}">{escape(name)}</text>' for x, y in placed[-1:]
        ]
    return "\n".join([*drawn, "</svg>", ""])


class _Axis:
    """Powers of ten from below the least value to above the greatest."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        self._low = math.floor(math.log10(min(values)))
        self._high = max(self._low + 1, math.ceil(math.log10(max(values))))
        self._start, self._end = start, end

    def at(self, value: float) -> float:
        share = (math.log10(value) - self._low) / (self._high - self._low)
        return self._start + share * (self._end - self._start)

    @property
    def marks(self) -> list[tuple[float, str]]:
        return [(self.at(10.0**power), f"{10.0**power:,g}") for power in range(self._low, self._high + 1)]


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
