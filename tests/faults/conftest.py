"""The long forms, which an ordinary run leaves out: ./run test tests/faults --long --power-cuts 20"""

import sys
import textwrap
from pathlib import Path

import pytest

from tests.faults.power_cut_server import Powered, Run
from tests.serving import environment

A_CUT_S = 60


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also what takes long")
    parser.addoption(
        "--power-cuts", type=int, default=1, help="how often the power is cut; all but the first cut leave torn pages"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: left out unless asked for by --long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # Where somebody else's folder was named these options do not exist.
    cuts: int = config.getoption("power_cuts", default=1)
    for item in items:
        if item.name == "test_receipts" and cuts > 1:
            item.add_marker(pytest.mark.timeout(A_CUT_S * (cuts + 2)), append=False)
    if config.getoption("long", default=False):
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    root = tmp_path / "disk"
    root.mkdir()
    return root


@pytest.fixture
def run(disk: Path) -> Run:
    """See `Run`."""

    def run(program: str, *, seed: int | None = None, **variables: str) -> dict[str, int]:
        argv = [sys.executable, "-c", textwrap.dedent(program)]
        powered = Powered(disk, disk.parent / "attic", argv, cwd=disk, env={**environment(), **variables})
        try:
            assert powered.line() == b"done\n"
            return powered.cut(seed)
        finally:
            powered.end()

    return run
