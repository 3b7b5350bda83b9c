"""The load of a run, a process of its own: police report, desks check, and everything goes into the record.

    python -m tests.faults.desks CONFIG     (one line of JSON to standard input at a time tells it what comes)

Checks are aimed where a mistake would show: at cards whose receipt has just been read and at those whose report is
under way, at every host, on fresh and on kept-alive connections, one by one and in batches, among cards that nobody
reported. A report whose outcome is not known is sent again with its idempotency key, to another host, until it is.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import Counter, deque
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

from lostid_load.population import OLD_CARD, number_of
from tests.faults.doors import Answer, Door
from tests.faults.record import CLEAR, LATE, NONE, REFUSED, Record

OFFICER: Final = "officer-117"
REPORTERS: Final = 5
BATCH: Final = 250
AIMED_AT_S: Final = (0.0, 0.004, 0.03, 0.15, 0.45, 0.9)
NEVER_REPORTED: Final = 10_000_000
"""From here on: nobody reports these."""
HEALED_S: Final = 90.0
_REFUSALS: Final = ("reported", "void", "indeterminate")


class Desks:
    """One run's callers."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.record = Record()
        self.chance = random.Random(config["seed"])
        self.police, self.hotel = config["police"], config["hotel"]
        self.rate = config["rate"]
        self.doors = [Door(name, number, port) for number, (name, port) in enumerate(config["doors"].items())]
        self.staying = self.doors[:2]
        self.receipts: dict[int, str] = {}
        """Document -> id of its report."""
        self.recent: deque[int] = deque(maxlen=48)
        self.under_way: set[int] = set()
        self.unexpected: list[str] = []
        self.statuses: Counter[str] = Counter()
        self.replayed = 0
        self.ending = asyncio.Event()
        self._serial = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    # -- reports -------------------------------------------------------------------------------------------------------

    async def reporter(self) -> None:
        while not self.ending.is_set():
            await self.report()
            await asyncio.sleep(self.chance.expovariate(4.0))

    async def report(self) -> None:
        """One card is lost, and stays so until the receipt is read, whatever happens in between."""
        document, key = self.next_document(), f"k-{self.chance.getrandbits(64):x}"
        row = self.record.report(document, time.monotonic())
        await self.insist(document, key, row)

    def next_document(self) -> int:
        self._serial += 1
        return self._serial

    async def insist(self, document: int, key: str, row: int) -> None:
        doors = self.staying[:]
        self.chance.shuffle(doors)
        self.under_way.add(document)
        try:
            for attempt in range(2000):
                answer = await self.send_report(doors[attempt % 2], document, key)
                told = answer.told
                if answer.status == 201 and "id" in told:
                    self.receipted(document, row, str(told["id"]), answer.completed)
                    if self.chance.random() < 0.1:
                        self.spawn(self.again(doors[(attempt + 1) % 2], document, key))
                    return
                if answer.status not in (0, 429, 503) and told.get("code") != "idempotency_key_in_use":
                    self.unexpected.append(f"a report was answered {answer.status} {told.get('code')}")
                    return
                await asyncio.sleep(self.chance.uniform(0.02, 0.25))
        finally:
            self.under_way.discard(document)

    async def send_report(self, door: Door, document: int, key: str) -> Answer:
        body = {"document": _card(document), "reason": "lost", "operator": OFFICER, "case_number": "F-1"}
        answer = await door.ask("/v1/reports", self.police, body, key, patience=4.0)
        self.statuses[f"report {answer.status} {answer.told.get('code', '')}".strip()] += 1
        return answer

    def receipted(self, document: int, row: int, id_: str, completed: float) -> None:
        self.record.receipt(row, completed)
        self.receipts[document] = id_
        self.recent.append(document)
        for door in self.doors:
            for fresh in (True, False):
                self.spawn(self.aim(door, document, fresh))

    async def again(self, door: Door, document: int, key: str) -> None:
        """The same key at the other host gives the same report."""
        answer = await self.send_report(door, document, key)
        if answer.status == 201:
            self.replayed += 1
            if answer.told["id"] != self.receipts[document]:
                self.unexpected.append(f"one key, two reports: {self.receipts[document]} and {answer.told['id']}")

    # -- checks --------------------------------------------------------------------------------------------------------

    async def aim(self, door: Door, document: int, fresh: bool) -> None:
        began = time.monotonic()
        for at in AIMED_AT_S:
            await asyncio.sleep(max(0.0, began + at - time.monotonic()))
            await self.check(door, document, fresh)

    async def check(self, door: Door, document: int, fresh: bool) -> None:
        body = {"document": _card(document), "operator": "desk-3", "purpose": "hotel.check_in"}
        answer = await door.ask("/v1/checks", self.hotel, body, fresh=fresh)
        told = answer.told
        self.take(door, answer, [document], [told], told)

    async def batches(self, door: Door) -> None:
        """Batches at the rate, one at a time."""
        pause = 2 * BATCH / self.rate
        while not self.ending.is_set():
            began = time.monotonic()
            await self.batch(door, self.mixed())
            await asyncio.sleep(max(0.0, began + self.chance.uniform(0.6, 1.4) * pause - time.monotonic()))

    def mixed(self) -> list[int]:
        """Cards just reported, being reported, reported long ago; most of them never."""
        old = self.chance.sample(sorted(self.receipts), min(20, len(self.receipts)))
        chosen = [*self.recent, *self.under_way, *old]
        never = [NEVER_REPORTED + self.chance.randrange(15_000_000) for _ in range(BATCH - len(chosen))]
        chosen += never
        self.chance.shuffle(chosen)
        return chosen

    async def batch(self, door: Door, documents: list[int]) -> Answer:
        body = {
            "operator": "gate-7",
            "purpose": "rail.gate",
            "checks": [{"document": _card(document)} for document in documents],
        }
        answer = await door.ask("/v1/checks/batch", self.hotel, body, fresh=self.chance.random() < 0.2)
        told = answer.told
        self.take(door, answer, documents, told.get("results", [{}] * len(documents)), told)
        return answer

    async def singles(self, door: Door) -> None:
        while not self.ending.is_set():
            known = [*self.recent, *self.under_way]
            reported = bool(known) and self.chance.random() < 0.5
            document = self.chance.choice(known) if reported else NEVER_REPORTED + self.chance.randrange(15_000_000)
            await self.check(door, document, self.chance.random() < 0.3)
            await asyncio.sleep(self.chance.expovariate(10.0))

    def take(
        self, door: Door, answer: Answer, documents: list[int], results: list[dict[str, Any]], told: dict[str, Any]
    ) -> None:
        """Into the record, item by item."""
        if answer.status == 200:
            fresh = 1000 * (answer.completed - answer.invoked) <= told["fresh_for_ms"]
            codes = [self.meaning(result, fresh) for result in results]
        else:
            codes = [NONE] * len(documents)
            if answer.status not in (0, 429, 503):
                self.unexpected.append(f"a check was answered {answer.status} {told.get('code')}")
        if len(codes) != len(documents):
            self.unexpected.append("a batch was answered with another number of results")
            return
        self.statuses[f"check {door.name} {answer.status} {told.get('code', '')}".strip()] += 1
        for document, code in zip(documents, codes, strict=True):
            self.record.check(document, answer.invoked, answer.completed, code, door.number)

    def meaning(self, result: dict[str, Any], fresh: bool) -> int:
        status = result.get("status")
        if status == "clear":
            return CLEAR if fresh else LATE
        if status in _REFUSALS:
            return REFUSED
        self.unexpected.append(f"a check's result was {sorted(result)}")
        return NONE

    # -- storms --------------------------------------------------------------------------------------------------------

    async def storm(self, seconds: float) -> None:
        """Fresh connections by the hundred, each request given up after 0 to 30 ms."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for _ in range(5):
                door = self.chance.choice(self.staying)
                self.spawn(self.given_up(self.hasty_report(door) if self.chance.random() < 0.1 else self.hasty(door)))
            await asyncio.sleep(0.02)

    async def given_up(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        await asyncio.sleep(self.chance.uniform(0.0, 0.03))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def hasty(self, door: Door) -> None:
        known = [*self.recent] or [NEVER_REPORTED]
        await self.check(door, self.chance.choice(known), True)

    async def hasty_report(self, door: Door) -> None:
        """Half of the reports given up are never heard of again: unknown to the end."""
        document, key = self.next_document(), f"k-{self.chance.getrandbits(64):x}"
        row = self.record.report(document, time.monotonic())
        self.under_way.add(document)
        try:
            answer = await self.send_report(door, document, key)
            if answer.status == 201 and "id" in answer.told:
                self.receipted(document, row, str(answer.told["id"]), answer.completed)
                return
        finally:
            self.under_way.discard(document)
            if document not in self.receipts and self.chance.random() < 0.5:
                self.spawn(self.insist(document, key, row))

    # -- the end -------------------------------------------------------------------------------------------------------

    async def verify(self) -> None:
        """After healing: every receipt's card is refused at both hosts, and its report is there."""
        until = time.monotonic() + HEALED_S
        documents = sorted(self.receipts)
        refused: Counter[int] = Counter()
        for door in self.staying:
            for at in range(0, len(documents), BATCH):
                part = documents[at : at + BATCH]
                answer = await self.batch(door, part)
                while answer.status != 200 and time.monotonic() < until:
                    await asyncio.sleep(0.1)
                    answer = await self.batch(door, part)
                for document, result in zip(part, answer.told.get("results", []), strict=False):
                    refused[document] += result.get("status") in _REFUSALS
                for document in part:
                    await self.verify_report(door, document, until)
        for document in documents:
            self.record.final(document, refused[document] == len(self.staying))

    async def verify_report(self, door: Door, document: int, until: float) -> None:
        path = f"/v1/reports/{self.receipts[document]}"
        answer = await door.get(path, self.police)
        while answer.status in (0, 429, 503) and time.monotonic() < until:
            await asyncio.sleep(0.1)
            answer = await door.get(path, self.police)
        if answer.status != 200 or answer.told.get("state") != "in_force":
            self.unexpected.append(f"{path} at {door.name}: {answer.status} {answer.told.get('state')}")

    async def run(self, path: Path) -> None:
        for door in self.staying:
            self.spawn(self.batches(door))
            for _ in range(2):
                self.spawn(self.singles(door))
        for _ in range(REPORTERS):
            self.spawn(self.reporter())
        await self.ending.wait()
        while self._tasks:
            await asyncio.wait(set(self._tasks), timeout=1.0)
        await self.verify()
        self.record.told = {
            "unexpected": self.unexpected,
            "statuses": dict(self.statuses),
            "receipts": len(self.receipts),
            "replayed": self.replayed,
            "hosts": [door.name for door in self.doors],
        }
        self.record.save(path)

    async def listen(self) -> None:
        """Orders, one line each: {"storm": seconds}, {"end": true}."""
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            order = json.loads(line)
            if "storm" in order:
                self.spawn(self.storm(order["storm"]))
            if "end" in order:
                self.ending.set()
        self.ending.set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.unexpected.append(f"the harness itself: {error!r}")


def _card(document: int) -> dict[str, str]:
    return {"type": "cn.resident-id", "number": number_of(document), "valid_from": OLD_CARD}


async def main(config: dict[str, Any]) -> None:
    desks = Desks(config)
    orders = asyncio.ensure_future(desks.listen())
    try:
        await desks.run(Path(config["history"]))
    finally:
        orders.cancel()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
