"""Those who import: some tens of cards in one file, which come into force with its release and go with its withdrawal.

The release is one entry, whatever is in the file: every card of it is reported from the moment the answer is read.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Final

from tests.faults.doors import Answer
from tests.faults.scene import Scene, document, effective

CLERK: Final = "clerk-4"
FIRST: Final = 5_000_000
"""From here on: cards that imports bring, and nobody else reports."""
_ROWS: Final = (10, 60)
_AIMED_AT: Final = 4
_WITHDRAWN: Final = 0.3
_NOT_READY: Final = "invalid"
"""What was sent before and did it, or is not everywhere yet: its state says which."""
_ATTEMPTS: Final = 400


class Importers:
    """One clerk. `told` hears of cards whose state has just changed for sure."""

    def __init__(self, scene: Scene, key: str, told: Callable[[int], None]) -> None:
        self.scene, self.key, self.told = scene, key, told
        self.released: dict[str, list[int]] = {}
        """Import -> its cards, where the answer to the release was read."""
        self.withdrawn: set[str] = set()
        """Those that somebody began to withdraw, whatever became of it."""
        self._last = FIRST

    async def importer(self) -> None:
        """One file after the other, until the run ends."""
        while not self.scene.ending.is_set():
            await self._one()
            await asyncio.sleep(self.scene.chance.uniform(0.5, 4.0))

    async def _one(self) -> None:
        scene = self.scene
        opened = await scene.until_known("an import", "/v1/imports", self.key, {"source": "harness"}, 201)
        if opened is None:
            return
        id_ = str(opened.told["id"])
        cards = [self._last + place for place in range(1, scene.chance.randint(*_ROWS))]
        self._last += len(cards)
        watched = cards[:_AIMED_AT]
        scene.under_way.update(watched)  # from before they are reported: until then nobody may refuse them
        try:
            released, rows = await self._released(id_, cards)
        finally:
            scene.under_way.difference_update(watched)
        if released is None:
            return
        self.released[id_] = cards
        for row in rows:
            scene.record.receipt(row, released.completed)
        self._tell(cards)
        if scene.chance.random() < _WITHDRAWN:
            await asyncio.sleep(scene.chance.uniform(0.2, 4.0))
            await self._withdraw(id_, cards, rows)

    async def _released(self, id_: str, cards: list[int]) -> tuple[Answer | None, list[int]]:
        """The answer to the release, and the rows in the record."""
        if not await self._sent(id_, cards):
            return None, []
        await asyncio.sleep(self.scene.chance.uniform(0.0, 1.0))
        rows = [self.scene.record.report(card, time.monotonic()) for card in cards]
        return await self._acted(id_, "release", "released"), rows

    async def _sent(self, id_: str, cards: list[int]) -> bool:
        """Every row, again and again until all of them are there."""
        lines = [{**document(card), **effective(card), "reason": "lost", "case_number": "I-1"} for card in cards]
        content = "\n".join(map(json.dumps, lines)).encode()
        doors = self.scene.both()
        for attempt in range(_ATTEMPTS):
            answer = await doors[attempt % 2].put(f"/v1/imports/{id_}/rows", self.key, content, "application/x-ndjson")
            self.scene.count("an import's rows", answer, _NOT_READY)
            if await self._state(id_) == "received":
                return True
            await self.scene.pause()
        return False

    async def _withdraw(self, id_: str, cards: list[int], rows: list[int]) -> None:
        scene = self.scene
        self.withdrawn.add(id_)
        for row in rows:
            scene.record.withdrawal(row, time.monotonic())
        answer = await self._acted(id_, "withdrawal", "withdrawn")
        if answer is not None:
            for row in rows:
                scene.record.withdrawn(row, answer.completed)
            self._tell(cards)

    async def _acted(self, id_: str, act: str, state: str) -> Answer | None:
        """The answer that says that it is done."""
        answer = await self.scene.until_known(
            f"an import's {act}", f"/v1/imports/{id_}/{act}", self.key, {}, 202, _NOT_READY
        )
        return answer if answer is not None and answer.told["state"] == state else None

    async def _state(self, id_: str) -> str:
        answer = await self.scene.chance.choice(self.scene.staying).get(f"/v1/imports/{id_}", self.key)
        return str(answer.told.get("state", ""))

    def _tell(self, cards: list[int]) -> None:
        for card in self.scene.chance.sample(cards, min(_AIMED_AT, len(cards))):
            self.scene.recent.append(card)
            self.told(card)

    async def verify(self, until: float) -> None:
        """After healing: what was released is."""
        for id_ in self.released.keys() - self.withdrawn:
            state = await self._state(id_)
            while not state and time.monotonic() < until:
                await asyncio.sleep(0.1)
                state = await self._state(id_)
            if state != "released":
                self.scene.unexpected.append(f"import {id_} was released and is {state}")
