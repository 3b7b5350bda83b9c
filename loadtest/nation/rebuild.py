"""``python -m nation.rebuild DIRECTORY``: `lostid registry rebuild` under load, on a synthetic ledger.

Half of the checks are about cards that are reported, half about cards that nobody reported, on a few connections
without a pause, from before the command until Redis is in service again. A reported card that is clear is wrong, and so
is a refused card that nobody reported; 503 claims nothing. Exit code 1: something was wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import uvloop

from lostid_load.population import OLD_CARD
from lostid_load.wire import Connection, request
from nation import people
from nation.host import Host

_CONNECTIONS: Final = 4
_AROUND_S: Final = 1.0
_CARDS: Final = 1_000
_CLEAR, _ADVERSE = frozenset(("clear",)), frozenset(("reported", "void"))

Question = tuple[bytes, frozenset[str]]
"""A request, and what it may be answered."""


def main() -> int:
    """Start, load, rebuild, count."""
    parser = argparse.ArgumentParser(prog="nation.rebuild", description=__doc__)
    parser.add_argument("directory", type=Path)
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    with Host(options.directory) as host:
        host.until_filled()
        key = host.key("--role", "checker")
        took = uvloop.run(_run(host, key, counts))
    sys.stdout.write(f"filled anew in {took:.1f} s; {sum(counts.values()):,} checks meanwhile: {dict(counts)}\n")
    return 1 if counts["wrong"] or not (counts["reported"] and counts["clear"]) else 0


async def _run(host: Host, key: str, counts: Counter[str]) -> float:
    ended = asyncio.Event()
    questions = itertools.cycle(list(_questions(key)))
    asking = [asyncio.create_task(_ask(host.port, questions, counts, ended)) for _ in range(_CONNECTIONS)]
    await asyncio.sleep(_AROUND_S)
    began = time.monotonic()
    await asyncio.to_thread(host.rebuild)
    took = time.monotonic() - began
    await asyncio.sleep(_AROUND_S)
    ended.set()
    await asyncio.gather(*asking)
    return took


def _questions(key: str) -> Iterator[Question]:
    who = {"operator": "desk-1", "purpose": "hotel.check_in"}
    for serial in range(_CARDS):
        lost = people.holder(serial).document | {"valid_from": OLD_CARD}
        for document, right in ((lost, _ADVERSE), (people.nobody(serial).document, _CLEAR)):
            yield request("127.0.0.1", "/v1/checks", key, {"document": document, **who}), right


async def _ask(port: int, questions: Iterator[Question], counts: Counter[str], ended: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(lambda _: None), "127.0.0.1", port)
    while not ended.is_set():
        raw, right = next(questions)
        answered: asyncio.Future[tuple[int, bytes]] = loop.create_future()
        connection.send(raw, lambda status, body, told=answered: told.set_result((status, body)))  # type: ignore[misc]
        status, body = await answered
        told = str(json.loads(body)["status"]) if status == 200 else str(status)
        counts[told if status != 200 or told in right else "wrong"] += 1
    connection.close()


if __name__ == "__main__":
    sys.exit(main())
