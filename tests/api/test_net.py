"""An error that nobody foresaw: the contract knows no 5xx but 503, and nothing of it is told."""

import httpx
import pytest

from lostid.api.control import control_plane
from lostid.api.edge import Edge


async def test_unforeseen(capsys: pytest.CaptureFixture[str]) -> None:
    app = control_plane()

    @app.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError("11010519491231002X")

    async with httpx.AsyncClient(transport=httpx.ASGITransport(Edge(app)), base_url="http://test") as client:
        answer = await client.get("/broken")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "ledger_unavailable"
    said = capsys.readouterr().err
    assert "ZeroDivisionError" in said
    assert "11010519491231002X" not in said + answer.text
