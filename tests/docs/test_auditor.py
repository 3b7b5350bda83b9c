"""The page for auditors: the demonstration says what the page says, line by line."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_pages import BLOCK, ROOT, pattern
from tests.serving import environment


@pytest.mark.timeout(400)
def test_demonstration(tmp_path: Path) -> None:
    """It ends well, and nothing of it stays."""
    blocks = BLOCK.findall((ROOT / "docs" / "auditor.md").read_text())
    assert [language for language, _ in blocks] == ["sh", "text"]
    assert blocks[0][1] == "python docs/auditor_demo.py\n"
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "auditor_demo.py"],
        env=environment() | {"TMPDIR": str(tmp_path)}, capture_output=True, text=True, timeout=390, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    shown, printed = blocks[1][1].splitlines(), done.stdout.splitlines()
    assert len(shown) == len(printed), done.stdout
    for wanted, line in zip(shown, printed, strict=True):
        assert pattern(wanted).fullmatch(line)
    assert list(tmp_path.iterdir()) == []
