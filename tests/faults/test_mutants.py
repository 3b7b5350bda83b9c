"""A mutant that no longer fits the program proves nothing, and nobody would hear of it before the next long run."""

import shutil
from pathlib import Path

import pytest

from tests.faults.mutants import MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_fits(mutant: Mutant, tmp_path: Path) -> None:
    """Each line that it spoils stands exactly once in its file, and the tests that it names are there."""
    spoilt = tmp_path / mutant.file
    spoilt.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "service" / "lostid" / mutant.file, spoilt)
    before = spoilt.read_bytes()
    mutant.apply(tmp_path)
    assert spoilt.read_bytes() != before
    for test in mutant.tests:
        assert (ROOT / test.partition("::")[0]).exists()
