"""The load of a run, a process of its own: police report, desks check, and everything goes into the record.

    python -m tests.faults.desks CONFIG

Orders come as lines of JSON on standard input: {"storm": seconds}; {"end": true}, once all is healed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, Final

from tests.faults.doors import Door
from tests.faults.hotels import BATCH, REFUSALS, Hotels
from tests.faults.importers import Importers
from tests.faults.police import Police
from tests.faults.revocations import Revocations
from tests.faults.scene import Scene

REPORTERS: Final = 8
HEALED_S: Final = 90.0
_VERIFY_AT_ONCE: Final = 12
_STORM_AT_ONCE: Final = 5
_STORM_EVERY_S: Final = 0.02
_PATIENCE_MOST_S: Final = 0.03


class Desks:
    """One run's callers."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.scene = Scene(config["seed"], config["doors"])
        self.hotels = Hotels(self.scene, config["hotel"], config["rate"])
        self.police = Police(self.scene, config["police"], config["approver"], self.hotels.aim)
        self.importers = Importers(self.scene, config["importer"], self.hotels.aim)
        self.revocations = Revocations(self.scene, config["ledgers"])

    async def run(self, path: Path) -> None:
        """Until the order to end; then everything is asked about once more, and saved."""
        scene = self.scene
        for door in scene.staying:
            for work in (self.hotels.batches, self.hotels.singles, self.hotels.singles):
                scene.spawn(work(door))
        for _ in range(REPORTERS):
            scene.spawn(self.police.reporter())
        scene.spawn(self.importers.importer())
        scene.spawn(self.revocations.revoker())
        await scene.ending.wait()
        while scene.tasks:
            await asyncio.wait(set(scene.tasks), timeout=1.0)
        await self.verify()
        scene.record.told = {
            "unexpected": scene.unexpected,
            "statuses": dict(scene.statuses),
            "receipts": len(scene.receipts),
            "replayed": self.police.replayed,
            "withdrawn": self.police.withdrawn,
            "imported": sum(map(len, self.importers.released.values())),
            "imports": len(self.importers.released),
            "revoked": self.revocations.revoked,
            "asked_with_revoked": self.revocations.asked,
            "hosts": [door.name for door in scene.doors],
        }
        scene.record.save(path)

    async def listen(self) -> None:
        """Orders. The end of the input is the last one."""
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            order = json.loads(line)
            if "storm" in order:
                self.scene.spawn(self.storm(order["storm"]))
            if "end" in order:
                break
        self.scene.ending.set()

    # -- storms --------------------------------------------------------------------------------------------------------

    async def storm(self, seconds: float) -> None:
        """Fresh connections by the hundred, each request given up after 0 to 30 ms."""
        scene = self.scene
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for _ in range(_STORM_AT_ONCE):
                door = scene.chance.choice(scene.staying)
                hasty = self.hasty_report(door) if scene.chance.random() < 0.1 else self.hasty_check(door)
                scene.spawn(self.given_up(hasty))
            await asyncio.sleep(_STORM_EVERY_S)

    async def given_up(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        await asyncio.sleep(self.scene.chance.uniform(0.0, _PATIENCE_MOST_S))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def hasty_check(self, door: Door) -> None:
        recent = self.scene.recent
        await self.hotels.check(door, self.scene.chance.choice(recent) if recent else 0, True)

    async def hasty_report(self, door: Door) -> None:
        """Half of the reports that are given up are never heard of again: unknown to the end."""
        card, key, row = self.police.lost_card()
        known = False
        try:
            known = self.police.took(await self.police.send(door, card, key), card, row)
        finally:
            self.scene.under_way.discard(card)
            if not known and self.scene.chance.random() < 0.5:
                self.scene.spawn(self.police.insist(card, key, row))

    # -- the end -------------------------------------------------------------------------------------------------------

    async def verify(self) -> None:
        """After healing: every receipt's card is refused at both hosts, and its report is there."""
        scene = self.scene
        until = time.monotonic() + HEALED_S
        imported = [card for cards in self.importers.released.values() for card in cards]
        cards = [*sorted(scene.receipts), *imported]
        refused: Counter[int] = Counter()
        for door in scene.staying:
            for at in range(0, len(cards), BATCH):
                part = cards[at : at + BATCH]
                answer = await self.hotels.batch(door, part)
                while answer.status != 200 and time.monotonic() < until:
                    await asyncio.sleep(0.1)
                    answer = await self.hotels.batch(door, part)
                for card, result in zip(part, answer.told.get("results", []), strict=False):
                    refused[card] += result.get("status") in REFUSALS
                waiting = iter([card for card in part if card in scene.receipts])
                await asyncio.gather(*(self.verify_reports(door, waiting, until) for _ in range(_VERIFY_AT_ONCE)))
        await self.importers.verify(until)
        for card in cards:
            scene.record.final(card, refused[card] == len(scene.staying))

    async def verify_reports(self, door: Door, cards: Iterator[int], until: float) -> None:
        for card in cards:
            await self.verify_report(door, card, until)

    async def verify_report(self, door: Door, card: int, until: float) -> None:
        path = f"/v1/reports/{self.scene.receipts[card]}"
        answer = await door.get(path, self.police.key)
        while answer.status in (0, 429, 503) and time.monotonic() < until:
            await asyncio.sleep(0.1)
            answer = await door.get(path, self.police.key)
        state = answer.told.get("state")
        if answer.status != 200 or (state != "in_force" and card not in self.scene.withdrawing):
            self.scene.unexpected.append(f"{path} at {door.name}: {answer.status} {state}")


async def main(config: dict[str, Any]) -> None:
    desks = Desks(config)
    orders = asyncio.ensure_future(desks.listen())
    try:
        await desks.run(Path(config["history"]))
    finally:
        orders.cancel()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
