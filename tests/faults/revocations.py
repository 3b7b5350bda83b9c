"""Keys that are made and revoked while the faults are on: whoever asks with one after its revocation is refused.

As `lostid keys` does it: straight to the ledger, by the way of a host, and then the fence.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from lostid.commands.keys import fenced, make
from lostid.ledger import apikeys
from lostid.ledger.apikeys import NewKey
from lostid.ledger.errors import LedgerError
from lostid.ledger.pool import aconnect
from tests.faults.doors import Answer
from tests.faults.scene import Scene, document

_PATIENCE_S: Final = 10.0
_ASKED_FOR_S: Final = 1.5
_REFUSED: Final = ("key_revoked", "key_unknown")
"""The second: by a ledger that lost the tail in which the key was made. It refuses all the same."""


class Revocations:
    """`urls`: ways to the ledger. `revoked`: keys whose revocation was heard of, `asked`: answers to them since."""

    def __init__(self, scene: Scene, urls: list[str]) -> None:
        self.scene, self.urls = scene, urls
        self.revoked = self.asked = 0

    async def revoker(self) -> None:
        """One key after the other, until the run ends."""
        while not self.scene.ending.is_set():
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    secret = await self._revoked()
            except (LedgerError, OSError, TimeoutError):
                await asyncio.sleep(0.5)
                continue
            await asyncio.gather(*(self._ask(number, secret) for number in range(len(self.scene.doors))))

    async def _revoked(self) -> str:
        """A key that was good at every host, and that nobody takes any more."""
        async with await aconnect(self.scene.chance.choice(self.urls), name="lostid-faults") as conn:
            id_, secret = await make(conn, NewKey("live", "hotel", ("checker",)))
            for door in self.scene.staying:
                while (await self._check(door.number, secret)).status != 200:
                    await self.scene.pause()
            appended = await apikeys.revoke(conn, id_)
            if appended is None:
                raise TimeoutError  # the ledger lost the tail in which it was made
            await fenced(conn, appended)
        self.revoked += 1
        return secret

    async def _ask(self, number: int, secret: str) -> None:
        until = time.monotonic() + _ASKED_FOR_S
        while time.monotonic() < until:
            answer = await self._check(number, secret)
            self.asked += answer.status != 0
            if answer.status == 200:
                self.scene.unexpected.append(f"a revoked key was served at {self.scene.doors[number].name}")
            await asyncio.sleep(0.05)

    async def _check(self, number: int, secret: str) -> Answer:
        card = self.scene.never_reported()
        body = {"document": document(card), "operator": "desk-9", "purpose": "hotel.check_in"}
        fresh = self.scene.chance.random() < 0.5
        answer = await self.scene.doors[number].ask("/v1/checks", secret, body, fresh=fresh)
        self.scene.count("a check with a key of its own", answer, *_REFUSED)
        return answer
