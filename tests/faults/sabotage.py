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
    path = copy / "lostid" / mutant.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        raise RuntimeError(f"{name}: its line stands {text.count(mutant.old)} times in {mutant.file}")
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(copy), os.environ.get("PYTHONPATH"))))
