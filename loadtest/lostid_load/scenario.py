"""Scenarios: what to ask, how often, for how long. Read from TOML, replayed by seed."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KINDS = ("unreported", "reported", "replaced", "no_instance")
"""What a check may aim at: a card nobody reported; a reported card; the good card of a holder whose old one was
replaced (a filter positive whose exact answer is clear); a reported number without the instance."""


class ScenarioRefused(Exception):
    """The file is not a scenario; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Step:
    """A constant or rising rate: ``from_rate`` to ``to_rate`` arrivals per second over ``seconds``."""

    seconds: float
    from_rate: float
    to_rate: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """One load test, reproducible by ``seed``.

    ``probes``: on how many connections a card is checked from the moment its report is due until each has refused it.
    """

    name: str
    about: str
    seed: int
    steps: tuple[Step, ...]
    mix: dict[str, float]
    purpose: str = "other"
    batch: int = 1
    connections: int = 16
    processes: int = 1
    reported: int = 500
    replaced: int = 200
    reports_per_second: float = 0.0
    probes: int = 0
    ladder: bool = False
    thresholds: tuple[str, ...] = field(default=())

    @property
    def seconds(self) -> float:
        """The whole length."""
        return sum(step.seconds for step in self.steps)


def load(path: Path) -> Scenario:
    """Read a scenario file.

    Raises:
        ScenarioRefused: see the class.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ScenarioRefused(f"{path.name}: {error}") from None
    try:
        return _scenario(path.stem, raw)
    except (KeyError, TypeError, ValueError) as error:
        raise ScenarioRefused(f"{path.name}: {error}") from None


def _scenario(name: str, raw: dict[str, Any]) -> Scenario:
    known = {*Scenario.__dataclass_fields__} - {"name"}
    unknown = set(raw) - known
    if unknown:
        raise ValueError(f"unknown setting {sorted(unknown)[0]}")
    mix = {kind: float(raw["mix"].get(kind, 0.0)) for kind in KINDS}
    if set(raw["mix"]) - set(KINDS) or abs(sum(mix.values()) - 1.0) > 1e-6:
        raise ValueError(f"the mix is made of {', '.join(KINDS)} and adds up to 1")
    fields = {key: value for key, value in raw.items() if key not in ("mix", "steps", "thresholds")}
    return Scenario(
        name=name,
        mix=mix,
        steps=tuple(_step(step) for step in raw["steps"]),
        thresholds=tuple(raw.get("thresholds", ())),
        **fields,
    )


def _step(raw: dict[str, Any]) -> Step:
    first = float(raw.get("rate", raw.get("from", 0.0)))
    last = float(raw.get("rate", raw.get("to", first)))
    if first <= 0 or last <= 0 or float(raw["seconds"]) <= 0:
        raise ValueError("rates and seconds are above zero")
    return Step(float(raw["seconds"]), first, last)
