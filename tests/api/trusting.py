"""Receipts as a desk gets them, the alarms that are open, and waiting for either."""

import time
from collections.abc import Callable
from typing import Any

import httpx
from typer.testing import CliRunner

from lostid.cli import app
from lostid.ledger.statement import AsyncConn
from tests.api.serving import check_of, person, report_of, resident

ORIGIN = "localhost/lostid"


def until(condition: Callable[[], Any], seconds: float = 15.0) -> Any:
    """Wait for what takes effect in the background."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.1)
    return found


def signed_check(desk: httpx.Client, document: dict[str, Any]) -> dict[str, Any]:
    """The answer with its receipt; until the first checkpoint of a new ledger there is none."""
    body = {**check_of(document), "reference": "booking-1", "receipt": True}

    def ask() -> Any:
        response = desk.post("/v1/checks", json=body)
        return response.json() if response.status_code == 200 else None

    answer: dict[str, Any] = until(ask)
    return answer


def reported(counter: httpx.Client) -> dict[str, Any]:
    """A report that is in force."""
    body = report_of(resident(valid_from="2015-03-01"), "officer-1")
    answer: dict[str, Any] = counter.post("/v1/reports", json=body, headers={"Idempotency-Key": person()[:17]}).json()
    return answer


async def open_alarms(conn: AsyncConn) -> list[tuple[int, str]]:
    rows = await (await conn.execute("SELECT seq, what FROM log_alarms WHERE cleared_at IS NULL")).fetchall()
    return [(row[0], row[1]) for row in rows]


def run_cli(*arguments: str, **environment: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments), env=environment)
    return result.exit_code, result.stdout
