"""Those who ask: checks aimed where a mistake would show.

At cards whose report has just got its receipt (or has just been withdrawn) and at those whose report is under way; at
every host, on fresh and on kept-alive connections, one by one and in batches, among cards that nobody ever reported.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from tests.faults.doors import Answer, Door
from tests.faults.record import CLEAR, LATE, NONE, REFUSED
from tests.faults.scene import Scene, document

BATCH: Final = 500
REFUSALS: Final = ("reported", "void", "indeterminate")
_AIMED_AT_S: Final = (0.0, 0.004, 0.03, 0.15, 0.45, 0.9)
_OLD: Final = 20


class Hotels:
    """All desks and gates."""

    def __init__(self, scene: Scene, key: str, rate: int) -> None:
        """`rate`: documents a second, all hosts together."""
        self.scene, self.key, self.rate = scene, key, rate

    def aim(self, card: int) -> None:
        """At every host, now and for a second to come."""
        for door in self.scene.doors:
            for fresh in (True, False):
                self.scene.spawn(self._aimed(door, card, fresh))

    async def _aimed(self, door: Door, card: int, fresh: bool) -> None:
        began = time.monotonic()
        for at in _AIMED_AT_S:
            await asyncio.sleep(max(0.0, began + at - time.monotonic()))
            await self.check(door, card, fresh)

    async def singles(self, door: Door) -> None:
        scene = self.scene
        while not scene.ending.is_set():
            known = [*scene.recent, *scene.under_way]
            card = scene.chance.choice(known) if known and scene.chance.random() < 0.5 else scene.never_reported()
            await self.check(door, card, scene.chance.random() < 0.3)
            await asyncio.sleep(scene.chance.expovariate(10.0))

    async def check(self, door: Door, card: int, fresh: bool) -> None:
        body = {"document": document(card), "operator": "desk-3", "purpose": "hotel.check_in"}
        answer = await door.ask("/v1/checks", self.key, body, fresh=fresh)
        self._take(door, answer, [card], [answer.told])

    async def batches(self, door: Door) -> None:
        """Batches at the rate, one at a time."""
        scene = self.scene
        pause = BATCH * len(scene.staying) / self.rate
        while not scene.ending.is_set():
            began = time.monotonic()
            await self.batch(door, self._mixed(), fresh=scene.chance.random() < 0.2)
            await asyncio.sleep(max(0.0, began + scene.chance.uniform(0.6, 1.4) * pause - time.monotonic()))

    def _mixed(self) -> list[int]:
        """Cards just reported, being reported, reported long ago; most of them never."""
        scene = self.scene
        old = scene.chance.sample(sorted(scene.receipts), min(_OLD, len(scene.receipts)))
        chosen = [*scene.recent, *scene.under_way, *old][:BATCH]
        chosen += [scene.never_reported() for _ in range(BATCH - len(chosen))]
        scene.chance.shuffle(chosen)
        return chosen

    async def batch(self, door: Door, cards: list[int], *, fresh: bool = False) -> Answer:
        checks = [{"document": document(card)} for card in cards]
        body = {"operator": "gate-7", "purpose": "rail.gate", "checks": checks}
        answer = await door.ask("/v1/checks/batch", self.key, body, fresh=fresh)
        self._take(door, answer, cards, answer.told.get("results", []))
        return answer

    def _take(self, door: Door, answer: Answer, cards: list[int], results: list[dict[str, Any]]) -> None:
        """Into the record, item by item."""
        scene = self.scene
        scene.count("a check", answer)
        codes = [NONE] * len(cards)
        if answer.status == 200:
            fresh = 1000 * (answer.completed - answer.invoked) <= answer.told["fresh_for_ms"]
            codes = [self._meaning(result, fresh) for result in results]
        if len(codes) != len(cards):
            scene.unexpected.append("a batch was answered with another number of results")
            return
        for card, code in zip(cards, codes, strict=True):
            scene.record.check(card, answer.invoked, answer.completed, code, door.number)

    def _meaning(self, result: dict[str, Any], fresh: bool) -> int:
        status = result.get("status")
        if status == "clear":
            return CLEAR if fresh else LATE
        if status in REFUSALS:
            return REFUSED
        self.scene.unexpected.append(f"a check's result was {sorted(result)}")
        return NONE
