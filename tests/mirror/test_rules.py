"""One canonicaliser: the library's copy is the registry's own."""

import pytest

from take_rules import NAMES, RULES, copy_of


@pytest.mark.parametrize("name", NAMES)
def test_copied(name: str) -> None:
    """Change the original, then run clients/lostid_client/take_rules.py."""
    assert (RULES / f"{name}.py").read_text("utf-8") == copy_of(name)
