"""`run` makes the environment: from nothing, once, whole or not at all.

The tests run it in a small house of the real `run` and a package that prints its arguments, with locks short enough
to be installed in seconds. The real locks are installed by whoever runs these tests, and by test_dockerfile.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAYS_IT_INSTALLS = "run: installing"

MAIN = """import os, sys
print(os.getcwd(), sys.argv[1:])
sys.exit(len(sys.argv[1:]))
"""

House = Path


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A checkout in a path with a space, nothing installed."""
    house = tmp_path / "a house"
    package = house / "service" / "lostid"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(
        "import os, sys\nprint(os.getcwd(), sys.argv[1:])\nsys.exit(len(sys.argv[1:]))\n"
    )
    for name in ("run", "pyproject.toml", "requirements-boot.lock", "requirements-build.lock"):
        shutil.copy(ROOT / name, house / name)
    (house / "README.md").touch()
    for name in ("requirements.lock", "requirements-dev.lock"):
        shutil.copy(ROOT / "requirements-build.lock", house / name)
    dev = house / "requirements-dev.lock"
    dev.write_text(dev.read_text() + "# and the tools\n")
    return house


def start(house: House, *arguments: str, environ: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """`run` as a new user starts it: with an empty HOME, and in a process group that can be killed as a whole."""
    return subprocess.Popen(
        [house / "run", *arguments],
        # What is installed is looked at, hardly ever run: compiling it would be most of the work.
        env={**os.environ, "HOME": "", "PIP_NO_COMPILE": "1", **(environ or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=house.parent,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate()
    return process.returncode, out, err


@pytest.mark.timeout(600)  # a slow mirror is no fault of ours
def test_life(house: House) -> None:
    """Killed half-way, torn between two, given other locks, copied: there is one whole environment, or none."""
    first = start(house, "version")
    while not (house / ".venv.a" / "pyvenv.cfg").exists():
        assert first.poll() is None, finish(first)
        time.sleep(0.01)
    os.killpg(first.pid, signal.SIGKILL)
    finish(first)
    assert not (house / ".venv").exists()

    # Two started at once make it between them, and both run.
    ends = [finish(process) for process in [start(house, "version"), start(house, "version")]]
    assert [(code, out) for code, out, _ in ends] == [(1, f"{house.parent} ['version']\n")] * 2, ends
    assert sum(SAYS_IT_INSTALLS in err for _, _, err in ends) == 1
    assert (house / ".venv").readlink() == Path(".venv.a")
    assert not (house / ".venv.b").exists()

    # The next start needs neither pip nor python3, passes its arguments on as they are, and the exit code back.
    code, out, err = finish(start(house, "check", "-", "a b", environ={"PYTHON": "/nonexistent"}))
    assert (code, out, err) == (3, f"{house.parent} ['check', '-', 'a b']\n", "")

    # Another lock goes into the other slot; the old one stays for the server that may run in it.
    assert SAYS_IT_INSTALLS in finish(start(house, "faults"))[2]
    assert (house / ".venv").readlink() == Path(".venv.b")
    assert (house / ".venv.a" / "bin" / "python").exists()

    # The environment with the tools serves every command: nothing is installed twice.
    assert finish(start(house)) == (0, f"{house.parent} []\n", "")

    # A copy wants an environment of its own: it must not run the code of the checkout it was copied from.
    copy = house.with_name("copy")
    shutil.copytree(house, copy, symlinks=True)
    code, out, err = finish(start(copy, environ={"PYTHON": "/bin/false"}))
    assert (code, out) == (1, ""), err


@pytest.mark.parametrize("python", ["/nonexistent", "/bin/false"])
def test_no_python(house: House, python: str) -> None:
    """Without a Python that will do, it says so in one sentence and makes nothing."""
    code, _, err = finish(start(house, environ={"PYTHON": python}))
    assert (code, err) == (1, f"run: {python} is missing or older than 3.11; PYTHON=... names another\n")
    assert not list(house.glob(".venv*"))


def test_foreign_environment(house: House) -> None:
    """A .venv that somebody else made is left alone."""
    (house / ".venv").mkdir()
    code, _, err = finish(start(house))
    assert (code, "was not made by this script" in err) == (1, True)
    assert not list((house / ".venv").iterdir())
