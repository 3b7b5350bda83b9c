"""The library as a customer installs it, and the lines of its README."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.desks import Town

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "clients" / "lostid_client"
README = (LIBRARY / "README.md").read_text()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pip put it. From a copy: setuptools leaves its workings beside the source."""
    folder = tmp_path_factory.mktemp("installed")
    shutil.copytree(LIBRARY, folder / "source", ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    environ = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    subprocess.run([*pip, "--target", str(folder / "site"), str(folder / "source")], check=True, env=environ)
    return folder / "site"


def run(code: str, site: Path, **environ: str) -> str:
    """What a program prints that finds the installed library and nothing of this checkout."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environ, "PYTHONPATH": str(site)},
        cwd=site,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_installs(installed: Path) -> None:
    """pip installs it with its types, and importing it needs neither the server nor cryptography."""
    assert (installed / "lostid_client" / "py.typed").exists()
    assert not (installed / "lostid").exists()
    code = "import sys; sys.modules['cryptography'] = None; sys.modules['lostid'] = None; import lostid_client as c"
    assert run(f"{code}; print(c.__file__)", installed).startswith(str(installed))


def test_readme(installed: Path, town: Town) -> None:
    """The README's lines print what stands behind them."""
    (lines,) = re.findall(r"^```python$(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    promised = re.findall(r"print\(.*\)  # (.+)$", lines, re.MULTILINE)
    assert run(lines, installed, LOSTID_URL=town.url, LOSTID_KEY=town.checker).splitlines() == promised
    assert len([line for line in lines.splitlines() if line.strip()]) <= 12
