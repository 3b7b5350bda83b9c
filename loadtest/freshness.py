"""``python loadtest/freshness.py``: reports, each followed at once by checks on fresh connections, on every worker.

Starts `lostid serve` with two workers, sends the reports with at most four in flight, and after each receipt opens new
connections (the kernel hands them to whichever worker accepts first) and checks the card on each. Prints how long the
receipts took and how many answers were `clear` after one: the promise is none (G1).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time

import uvloop

from lostid_load import server
from lostid_load.driver import Target
from lostid_load.population import OLD_CARD, number_of
from lostid_load.wire import Connection, request

_FIRST = 20_000_000


async def _ask(target: Target, raw: bytes) -> tuple[int, dict[str, object]]:
    """One request on a connection of its own."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[tuple[int, bytes]] = loop.create_future()
    _, connection = await loop.create_connection(lambda: Connection(lambda _: None), target.host, target.port)
    connection.send(raw, lambda status, body: None if answered.done() else answered.set_result((status, body)))
    try:
        status, body = await answered
    finally:
        connection.close()
    return status, json.loads(body) if body else {}


async def _one(target: Target, serial: int, checks: int, counts: dict[str, int]) -> float:
    document = {"type": "cn.resident-id", "number": number_of(_FIRST + serial), "valid_from": OLD_CARD}
    body = {"document": document, "reason": "lost", "operator": target.reporter, "case_number": "freshness"}
    raw = request(target.host, "/v1/reports", target.reporter_key, body | {"effective_at": "2020-01-01"}, f"f-{serial}")
    began = time.perf_counter()
    status, _ = await _ask(target, raw)
    took = time.perf_counter() - began
    if status != 201:
        counts[f"report {status}"] = counts.get(f"report {status}", 0) + 1
        return took
    check = {"document": document, "operator": target.operator, "purpose": "other"}
    raw = request(target.host, "/v1/checks", target.checker_key, check)
    for status, answer in await asyncio.gather(*(_ask(target, raw) for _ in range(checks))):
        told = str(answer.get("status")) if status == 200 else str(status)
        counts[told] = counts.get(told, 0) + 1
    return took


async def _run(target: Target, reports: int, checks: int) -> tuple[list[float], dict[str, int]]:
    counts: dict[str, int] = {}
    places = asyncio.Semaphore(4)

    async def placed(serial: int) -> float:
        async with places:
            return await _one(target, serial, checks, counts)

    return sorted(await asyncio.gather(*(placed(serial) for serial in range(reports)))), counts


def main() -> int:
    """Exit code 1 where a clear came after a receipt."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=int, default=2_000)
    parser.add_argument("--checks", type=int, default=8)
    options = parser.parse_args()
    with server.serving(workers=2) as target:
        took, counts = uvloop.run(_run(target, options.reports, options.checks))
    milliseconds = [took[min(len(took) - 1, int(len(took) * share))] * 1000 for share in (0.5, 0.99)]
    sys.stdout.write(
        f"{len(took)} reports: receipts p50 {milliseconds[0]:.1f} ms, p99 {milliseconds[1]:.1f} ms "
        f"(connection included); answers after the receipt: {counts}\n"
    )
    return 1 if counts.get("clear") else 0


if __name__ == "__main__":
    sys.exit(main())
