"""What the callers of a run know together: the hosts' doors, the cards and what became of them, and the record."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Coroutine
from typing import Any, Final

from lostid_load.population import OLD_CARD, number_of
from tests.faults.doors import Answer, Door
from tests.faults.record import Record

RECENT: Final = 48
NEVER_REPORTED: Final = 10_000_000
"""From here on: nobody reports these."""
_NEVER_REPORTED_CARDS: Final = 15_000_000
_DESIGNED: Final = (0, 429, 503)
"""No answer for a reason that the contract names, or a connection that broke."""
IN_USE: Final = "idempotency_key_in_use"
_ATTEMPTS: Final = 2000
_PASSPORT, _PERMIT = 6, 7


class Scene:
    """One run's. A card is called by its serial number, as in the record."""

    def __init__(self, seed: int, doors: dict[str, int]) -> None:
        self.chance = random.Random(seed)
        self.record = Record()
        self.doors = [Door(name, number, port) for number, (name, port) in enumerate(doors.items())]
        self.staying = self.doors[:2]
        self.receipts: dict[int, str] = {}
        """Card -> id of its report."""
        self.recent: deque[int] = deque(maxlen=RECENT)
        self.under_way: set[int] = set()
        self.withdrawing: set[int] = set()
        """Cards whose report somebody began to withdraw, whatever became of it."""
        self.unexpected: list[str] = []
        self.statuses: Counter[str] = Counter()
        self.ending = asyncio.Event()
        self.tasks: set[asyncio.Task[Any]] = set()

    def never_reported(self) -> int:
        return NEVER_REPORTED + self.chance.randrange(_NEVER_REPORTED_CARDS)

    def any_key(self, prefix: str) -> str:
        """An idempotency key."""
        return f"{prefix}-{self.chance.getrandbits(64):x}"

    def both(self) -> list[Door]:
        """The hosts that stay, in any order."""
        return self.chance.sample(self.staying, len(self.staying))

    def count(self, what: str, answer: Answer, *designed: str) -> None:
        """`designed`: codes that are right answers here, beside those that are everywhere."""
        code = str(answer.told.get("code", ""))
        self.statuses[f"{what} {answer.status} {code}".strip()] += 1
        if answer.status not in (*_DESIGNED, 200, 201, 202) and code not in designed:
            self.unexpected.append(f"{what} was answered {answer.status} {code}")

    async def until_known(
        self, what: str, path: str, key: str, body: dict[str, Any], right: int, *designed: str
    ) -> Answer | None:
        """A write, sent to one host and the other until it is answered as it should be. None: it will not be.
        `designed`: refusals after which it is worth another try."""
        again, doors = self.any_key("w"), self.both()
        for attempt in range(_ATTEMPTS):
            answer = await doors[attempt % 2].ask(path, key, body, again, patience=4.0)
            self.count(what, answer, IN_USE, *designed)
            if answer.status == right and "id" in answer.told:
                return answer
            if hopeless(answer, *designed):
                return None
            await self.pause()
        return None

    async def pause(self) -> None:
        """Between two tries."""
        await asyncio.sleep(self.chance.uniform(0.02, 0.25))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.unexpected.append(f"the harness itself: {error!r}")


def hopeless(answer: Answer, *designed: str) -> bool:
    """Whether sending it again would change nothing."""
    return answer.status not in (0, 200, 201, 202, 429, 503) and answer.told.get("code") not in (IN_USE, *designed)


def document(card: int) -> dict[str, Any]:
    """Three cards in four are identity cards."""
    if card % 8 == _PASSPORT:
        return {"type": "cn.passport", "number": f"E{card:08}"}
    if card % 8 == _PERMIT:
        return {"type": "cn.hk-macau-permit", "number": f"H{card:08}", "issue_no": 1}
    return {"type": "cn.resident-id", "number": number_of(card), "valid_from": OLD_CARD}


def effective(card: int) -> dict[str, str]:
    """What a report says beside the document where that names no instance."""
    return {"effective_at": "2020-01-01"} if card % 8 == _PASSPORT else {}
