"""A sabotaged copy of the service, for the proof that the harness would notice: its hosts run one of the mutants."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.faults.mutants import MUTANTS, ROOT


def sabotage(name: str, folder: Path) -> None:
    """Every `lostid` that this process starts from now on is the sabotaged one."""
    mutant = next(mutant for mutant in MUTANTS if mutant.name == name)
    copy = folder / "sabotaged"
    shutil.copytree(ROOT / "service", copy, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    mutant.apply(copy / "lostid")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(copy), os.environ.get("PYTHONPATH"))))
