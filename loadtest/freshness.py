"""``python loadtest/freshness.py``: how long from a report until it is refused everywhere; its receipt comes later.

Starts `lostid serve` with two workers and sends reports, at most four in flight. While each is under way its card is
checked again and again on several connections, until every one of them has refused it; after the receipt it is checked
once more on each. Connections are fresh, so the kernel hands them to whichever worker accepts first. Prints how long
the first refusal everywhere and the receipts took, and how many answers were `clear` after one: none, by promise G1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterable

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


async def _refused(target: Target, raw: bytes) -> float:
    """When a check that is repeated without a pause was refused for the first time."""
    while True:
        status, answer = await _ask(target, raw)
        if status == 200 and answer.get("status") != "clear":
            return time.perf_counter()


async def _one(target: Target, serial: int, checks: int, counts: dict[str, int]) -> tuple[float, float] | None:
    """Seconds until the card was refused everywhere, and until the receipt; None where there is no receipt."""
    document = {"type": "cn.resident-id", "number": number_of(_FIRST + serial), "valid_from": OLD_CARD}
    body = {"document": document, "reason": "lost", "operator": target.reporter, "case_number": "freshness"}
    raw = request(target.host, "/v1/reports", target.reporter_key, body | {"effective_at": "2020-01-01"}, f"f-{serial}")
    check = request(
        target.host,
        "/v1/checks",
        target.checker_key,
        {"document": document, "operator": target.operator, "purpose": "other"},
    )
    began = time.perf_counter()
    probes = [asyncio.create_task(_refused(target, check)) for _ in range(checks)]
    status, _ = await _ask(target, raw)
    took = time.perf_counter() - began
    if status != 201:
        counts[f"report {status}"] = counts.get(f"report {status}", 0) + 1
        for probe in probes:
            probe.cancel()
        return None
    everywhere = max(await asyncio.gather(*probes)) - began
    for status, answer in await asyncio.gather(*(_ask(target, check) for _ in range(checks))):
        told = str(answer.get("status")) if status == 200 else str(status)
        counts[told] = counts.get(told, 0) + 1
    return everywhere, took


async def _run(target: Target, reports: int, checks: int) -> tuple[list[tuple[float, float]], dict[str, int]]:
    counts: dict[str, int] = {}
    places = asyncio.Semaphore(4)

    async def placed(serial: int) -> tuple[float, float] | None:
        async with places:
            return await _one(target, serial, checks, counts)

    found = await asyncio.gather(*(placed(serial) for serial in range(reports)))
    return [times for times in found if times is not None], counts


def _percentiles(name: str, seconds: Iterable[float]) -> str:
    ordered = sorted(seconds)
    p50, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 for share in (0.5, 0.99))
    return f"{name} p50 {p50:.1f} ms, p99 {p99:.1f} ms"


def main() -> int:
    """Exit code 1 where a clear came after a receipt, or where there was no receipt at all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=int, default=2_000)
    parser.add_argument("--checks", type=int, default=4)
    options = parser.parse_args()
    with server.serving(workers=2) as target:
        times, counts = uvloop.run(_run(target, options.reports, options.checks))
    sys.stdout.write(f"{len(times)} reports; answers after their receipts: {counts}\n")
    if not times:
        return 1
    refused, receipts = zip(*times, strict=True)
    sys.stdout.write(_percentiles("refused everywhere after", refused) + "\n")
    sys.stdout.write(_percentiles("receipts after", receipts) + " (connection included)\n")
    return 1 if counts.get("clear") else 0


if __name__ == "__main__":
    sys.exit(main())
