"""The image can be built: what it copies is there, and its install lines work in a clean environment."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PREFIX = "/opt/lostid"


class Line(NamedTuple):
    stage: int
    instruction: str
    arguments: str


def read_lines() -> list[Line]:
    lines: list[Line] = []
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            instruction, arguments = line.split(maxsplit=1)
            stage = lines[-1].stage if lines else -1
            lines.append(Line(stage + (instruction == "FROM"), instruction, arguments.strip()))
    return lines


def copied(line: Line) -> list[str]:
    """The sources that a COPY takes from the checkout."""
    words = line.arguments.split()
    return [] if words[0].startswith("--from") else words[:-1]


def copy(source: Path, target: Path) -> None:
    """As docker does, without what .dockerignore holds back."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    else:
        shutil.copy(source, target)


LINES = read_lines()
COPIES = [line for line in LINES if line.instruction == "COPY"]


@pytest.mark.parametrize("source", [source for line in COPIES for source in copied(line)])
def test_sources(source: str) -> None:
    """Each COPY source exists, and .dockerignore, which lets nothing else pass, lets it pass."""
    assert (ROOT / source).exists()
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignore[0] == "*"
    assert f"!{source.removeprefix('./')}" in ignore


@pytest.mark.timeout(600)  # a slow mirror is no fault of ours
def test_installs(tmp_path: Path) -> None:
    """The build stage's lines, run as they stand, give a `lostid` that starts and lacks none of the package's files."""
    clean, source, prefix = tmp_path / "clean", tmp_path / "src", tmp_path / "prefix"
    source.mkdir()
    subprocess.run([sys.executable, "-m", "virtualenv", "-q", "--no-periodic-update", clean], check=True)
    # Compiled is only what `version` loads: compiling all that is installed would be most of the work.
    environ = {**os.environ, "PATH": f"{clean / 'bin'}:{os.environ['PATH']}", "PIP_NO_COMPILE": "1"}
    environ["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    for line in (line for line in LINES if line.stage == 0):
        if line.instruction == "COPY":
            for name in copied(line):
                copy(ROOT / name, source / name)
        elif line.instruction == "RUN":
            command = line.arguments.replace(PREFIX, str(prefix))
            subprocess.run(["/bin/sh", "-ec", command], cwd=source, env=environ, check=True)

    (packages,) = prefix.glob("lib/python3.*/site-packages")
    ours = {path.relative_to(ROOT / "service") for path in (ROOT / "service" / "lostid").rglob("*") if path.is_file()}
    ours = {path for path in ours if path.suffix != ".pyc"}
    assert {path for path in ours if not (packages / path).exists()} == set()
    assert (prefix / "bin" / "lostid").exists()
    subprocess.run(
        [clean / "bin" / "python", "-m", "lostid", "version"],
        cwd=tmp_path,
        env={**environ, "PYTHONPATH": str(packages)},
        check=True,
    )


def test_image() -> None:
    """The image runs as an ordinary user, asks `readyz` after its health, and keeps its data in a volume."""
    last = [line for line in LINES if line.stage == max(line.stage for line in LINES)]
    instructions = {line.instruction: line.arguments for line in last}
    assert instructions["USER"] not in ("root", "0")
    assert "/readyz" in instructions["HEALTHCHECK"]
    assert f"LOSTID_DATA_DIR={instructions['VOLUME']}" in instructions["ENV"]
    assert all("-slim" in line.arguments for line in LINES if line.instruction == "FROM")
