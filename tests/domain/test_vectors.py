"""The vectors that the registry, the clients and the desks share."""

import json
from pathlib import Path
from typing import Any

import pytest

from lostid.domain.canonical import canonicalise
from lostid.domain.errors import Refusal
from lostid.domain.instance import instance_of
from tests.domain.drawing import TODAY

OURS = Path(__file__).parent / "specimens" / "documents.json"
SHARED = Path(__file__).parents[3] / "shared" / "vectors" / "documents.json"


@pytest.mark.parametrize("row", json.loads(OURS.read_text()), ids=lambda row: ascii(row["document"]["number"]))
def test_vector(row: dict[str, Any]) -> None:
    """Each document has the canonical form, or the refusal, that the vector names."""
    document = row["document"]
    try:
        canonical = canonicalise(document["type"], document["number"], document.get("issuing_state"), TODAY)
        instance_of(document, canonical, TODAY)
        said = {"canonical": canonical.number}
    except Refusal as refusal:
        said = {"code": refusal.code}
    assert said == {name: row[name] for name in row if name != "document"}


def test_same() -> None:
    """The stored vectors are the shared ones."""
    if not SHARED.exists():
        pytest.skip("../shared is absent: only the stored copy of the vectors was tested")
    assert json.loads(OURS.read_text()) == json.loads(SHARED.read_text())
