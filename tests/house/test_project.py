"""What keeps the house in order is itself in order: locks, types, imports, purity."""

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = sorted(ROOT.glob("requirements*.lock"))
PINNED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>\S+)")
NOT_OURS = {"build", "data", "dist", "node_modules"}
ASKS_THE_WORLD = {"now", "today", "utcnow", "open", "print", "input", "getenv"}


def pins(lock: str) -> dict[str, str]:
    found = (PINNED.match(line) for line in (ROOT / lock).read_text().splitlines())
    return {canonicalize_name(pin["name"]): pin["version"] for pin in found if pin}


def python_files() -> list[Path]:
    """Every Python file of the project; hidden folders hold environments and caches."""
    tops = [top for top in ROOT.iterdir() if top.is_dir() and not top.name.startswith(".") and top.name not in NOT_OURS]
    found = [file for top in tops for file in top.rglob("*.py")]
    return [file for file in (file.relative_to(ROOT) for file in found) if not NOT_OURS.intersection(file.parts)]


def pure_modules() -> list[Path]:
    """The files of the rooms that the import contract calls pure."""
    (contract,) = (each for each in PROJECT["tool"]["importlinter"]["contracts"] if each["id"] == "pure")
    places = [ROOT / "service" / name.replace(".", "/") for name in contract["source_modules"]]
    return [
        file for place in places for file in (place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")])
    ]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_locks_name_no_index(lock: Path) -> None:
    """A lock says what is installed, never where it comes from: that is the affair of the place it is installed in."""
    text = lock.read_text()
    assert "://" not in text
    assert not re.search(r"^\s*-", text.replace("    --hash=sha256:", ""), re.MULTILINE)


def test_no_foreign_lock() -> None:
    """uv.lock records index addresses, so it is not kept."""
    assert "uv.lock" in (ROOT / ".gitignore").read_text().split()


@pytest.mark.parametrize(
    ("lock", "groups"),
    [
        ("requirements.lock", []),
        ("requirements-boot.lock", ["boot"]),
        ("requirements-build.lock", ["build"]),
        ("requirements-dev.lock", ["boot", "dev"]),
    ],
)
def test_locks_are_current(lock: str, groups: list[str]) -> None:
    """Each requirement that pyproject.toml states is pinned, within its bounds, in the lock that is to hold it."""
    wanted = [] if lock in ("requirements-boot.lock", "requirements-build.lock") else PROJECT["project"]["dependencies"]
    wanted = wanted + [
        each for group in groups for each in PROJECT["dependency-groups"][group] if isinstance(each, str)
    ]
    pinned = pins(lock)
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement


def test_tested_is_what_runs() -> None:
    """What the tests run with is what is served with: the development lock holds the runtime lock's versions."""
    assert pins("requirements.lock").items() <= pins("requirements-dev.lock").items()


def test_all_code_is_checked() -> None:
    """No Python file escapes the type checker, no package the import contract."""
    checked = [Path(folder) for folder in PROJECT["tool"]["mypy"]["files"]]
    assert [file for file in python_files() if not any(file.is_relative_to(folder) for folder in checked)] == []
    packages = {file.parent.name for file in python_files() if file.name == "__init__.py" and file.parts[0] != "tests"}
    shipped = {name for name in packages if name.startswith("lostid")}
    assert shipped == set(PROJECT["tool"]["importlinter"]["root_packages"])


@pytest.mark.parametrize(
    "file", pure_modules(), ids=lambda file: file.relative_to(ROOT / "service" / "lostid").as_posix()
)
def test_pure(file: Path) -> None:
    """A pure room asks no clock and touches nothing outside; what the import contract cannot see is seen here."""
    calls = [node.func for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    names = {call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "") for call in calls}
    assert names & ASKS_THE_WORLD == set()
