"""Those who write: reports, and now and then their withdrawal by two people.

What was sent is sent again with its idempotency key, to one host and the other in turn, until its outcome is known.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from tests.faults.doors import Answer, Door
from tests.faults.scene import IN_USE, Scene, document, effective, hopeless

OFFICER: Final = "officer-117"
SECOND: Final = "officer-9"
_REPLAYED: Final = 0.1
_WITHDRAWN: Final = 0.12
_ATTEMPTS: Final = 2000


class Police:
    """Reporters and an approver. `told` hears of every card whose state has just changed for sure."""

    def __init__(self, scene: Scene, key: str, approver: str, told: Callable[[int], None]) -> None:
        self.scene, self.key, self.approver, self.told = scene, key, approver, told
        self.replayed = 0
        self.withdrawn = 0
        self._last = 0

    async def reporter(self) -> None:
        """One card after the other, until the run ends."""
        while not self.scene.ending.is_set():
            card, key, row = self.lost_card()
            await self.insist(card, key, row)
            await asyncio.sleep(self.scene.chance.expovariate(4.0))

    def lost_card(self) -> tuple[int, str, int]:
        """A card, the idempotency key of its report, and the row in the record."""
        self._last += 1
        self.scene.under_way.add(self._last)
        return self._last, self.scene.any_key("r"), self.scene.record.report(self._last, time.monotonic())

    async def insist(self, card: int, key: str, row: int) -> None:
        """Until the receipt is read, whatever happens in between."""
        doors = self.scene.both()
        try:
            for attempt in range(_ATTEMPTS):
                answer = await self.send(doors[attempt % 2], card, key)
                if self.took(answer, card, row):
                    await self._afterwards(doors[(attempt + 1) % 2], card, key, row)
                    return
                if hopeless(answer):
                    return
                await self.scene.pause()
        finally:
            self.scene.under_way.discard(card)

    async def send(self, door: Door, card: int, key: str) -> Answer:
        who = {"operator": OFFICER, "case_number": "F-1"}
        body = {"document": document(card), **effective(card), "reason": "lost", **who}
        answer = await door.ask("/v1/reports", self.key, body, key, patience=4.0)
        self.scene.count("a report", answer, IN_USE)
        return answer

    def took(self, answer: Answer, card: int, row: int) -> bool:
        """Whether this is the receipt; then it is in the record."""
        id_ = answer.told.get("id")
        if answer.status != 201 or id_ is None:
            return False
        self.scene.record.receipt(row, answer.completed)
        self.scene.receipts[card] = str(id_)
        self.scene.recent.append(card)
        self.told(card)
        return True

    async def _afterwards(self, other: Door, card: int, key: str, row: int) -> None:
        scene = self.scene
        scene.under_way.discard(card)
        if scene.chance.random() < _REPLAYED:
            scene.spawn(self._replay(other, card, key))
        if scene.chance.random() < _WITHDRAWN:
            scene.spawn(self._withdraw(card, row))

    async def _replay(self, door: Door, card: int, key: str) -> None:
        """The same key at the other host is the same report."""
        answer = await self.send(door, card, key)
        if answer.status == 201:
            self.replayed += 1
            if answer.told["id"] != self.scene.receipts[card]:
                self.scene.unexpected.append(f"one key, two reports: {self.scene.receipts[card]}, {answer.told['id']}")

    async def _withdraw(self, card: int, row: int) -> None:
        """One asks, after a while, another approves."""
        scene = self.scene
        await asyncio.sleep(scene.chance.uniform(0.2, 6.0))
        path = f"/v1/reports/{scene.receipts[card]}/withdrawal"
        asked = {"operator": OFFICER, "grounds": "other", "evidence": "found at home"}
        withdrawal = await scene.until_known("a withdrawal", path, self.key, asked, 202)
        if withdrawal is None:
            return
        scene.withdrawing.add(card)
        scene.record.withdrawal(row, time.monotonic())
        path = f"/v1/withdrawals/{withdrawal.told['id']}/approve"
        approved = await scene.until_known("a withdrawal", path, self.approver, {"operator": SECOND}, 200)
        if approved is not None:
            scene.record.withdrawn(row, approved.completed)
            self.withdrawn += 1
            self.told(card)
