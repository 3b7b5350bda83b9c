"""The documents speak of the code as it is."""

import re
from pathlib import Path

import pytest

from lostid.settings import Settings

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_settings(name: str) -> None:
    """Every setting is documented."""
    assert f"`LOSTID_{name.upper()}`" in README


def test_first_screen() -> None:
    """The first screen says what it is, shows a check and its answer, the two commands, the promises and the rooms."""
    screen = "\n".join(README.splitlines()[:60])
    for word in (
        "./run serve",
        "./run test",
        "/v1/checks",
        '"status": "clear"',
        "service/lostid/",
        "clients/",
        "loadtest/",
    ):
        assert word in screen


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links(document: Path) -> None:
    """A link or a path in code marks that points into the project leads somewhere."""
    text = document.read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
    assert [link for link in links if not (document.parent / link).exists()] == []
    paths = re.findall(r"`((?:service|clients|loadtest|tests|docs)/[A-Za-z0-9_./-]*)`", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []
