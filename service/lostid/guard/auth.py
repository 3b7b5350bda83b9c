"""Who asks: the API keys of the ledger, kept in memory by the SHA-256 of their secret.

A revocation goes through the same fence as a report, so after its receipt no host answers a revoked key: the cache is
good for an answer only if it knows every revocation that the host's lease stands for, and that is up to the page's
auth_seq. What it knows is counted by the page's position that the ledger showed to contain when the keys were loaded,
within one generation of the filter, and not by the head of the server that gave them: that may belong to a tail that a
failover loses (`replication.checking.keys_current`)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from hashlib import sha256

from lostid.domain.position import Position
from lostid.ledger.apikeys import ApiKey, KeyTable

SCHEME = b"bearer "
LONGEST_SECRET = 256
REMEMBERED = 1_024
_NONE = KeyTable(False, {})
_NOWHERE = (-1, -1)

Load = Callable[[Position | None], Awaitable[KeyTable]]
Shown = Callable[[], tuple[int, Position] | None]
"""What the page shows: its generation, read first, and its position; None where there is no page to read."""


class Refused(Exception):
    """Nobody is admitted with this. `code` is one of key_missing, key_unknown, key_revoked."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class KeyCache:
    """One per worker. `load` reads all keys from the ledger; whatever it raises goes to those who wait for it.

    `gen`, `seq`: the keys are as new as this, and as nothing where they are negative. The hot path compares them."""

    def __init__(self, load: Load, shown: Shown, *, sandbox: bool) -> None:
        self._load = load
        self._shown = shown
        self._sandbox = sandbox
        self._table = _NONE
        self._admitted: dict[bytes, ApiKey] = {}  # by the header itself, for as long as the table is the same
        self._loading: asyncio.Task[None] | None = None
        self.loaded = False
        self.gen, self.seq = _NOWHERE

    def __len__(self) -> int:
        return len(self._table.by_secret)

    def find(self, authorization: bytes | None) -> ApiKey:
        """The key that an Authorization header presents. Raises Refused."""
        known = self._admitted.get(authorization) if authorization else None
        return self._found(authorization) if known is None else known

    def tenant(self, authorization: bytes | None) -> str:
        """The organisation that a header stands for; nobody's are one tenant together."""
        try:
            return self.find(authorization).org
        except Refused:
            return ""

    def _found(self, authorization: bytes | None) -> ApiKey:
        if not authorization or authorization[:7].lower() != SCHEME:
            raise Refused("key_missing")
        secret = authorization[7:].strip()
        if not secret:
            raise Refused("key_missing")
        key = self._table.by_secret.get(sha256(secret).digest()) if len(secret) <= LONGEST_SECRET else None
        if key is None or (key.env == "test" and not self._sandbox):
            raise Refused("key_unknown")
        if key.revoked_seq is not None:
            raise Refused("key_revoked")
        if len(self._admitted) >= REMEMBERED:
            self._admitted.clear()
        self._admitted[authorization] = key
        return key

    def current(self, gen: int, auth_seq: int) -> bool:
        """Both read off the page after the lease that an answer rests on."""
        return self.gen == gen and self.seq >= auth_seq

    async def refresh(self, gen: int, auth_seq: int) -> bool:
        """Load anew; true if the cache is then as new as asked for. Any number of callers share one load.

        A load that was under way may have begun before the entry that the caller knows of; then another follows."""
        joined = self._loading is not None
        await self._load_once()
        if joined and not self.current(gen, auth_seq):
            await self._load_once()
        return self.current(gen, auth_seq)

    async def reload(self) -> None:
        """Load anew, from a moment after this call: for when no lease vouches for the page's auth_seq."""
        if self._loading is not None:
            await self._load_once()
        await self._load_once()

    async def _load_once(self) -> None:
        if self._loading is None:
            self._loading = asyncio.create_task(self._reload())
            self._loading.add_done_callback(_heard)
        await asyncio.shield(self._loading)

    async def _reload(self) -> None:
        try:
            shown = self._shown()
            table = await self._load(shown[1] if shown else None)
            self._table = table
            self._admitted = {}
            self.loaded = True
            self.gen, self.seq = (shown[0], shown[1].seq) if shown and table.contains else _NOWHERE
        finally:
            self._loading = None


def _heard(task: asyncio.Task[None]) -> None:
    """Its failure went to those who waited, if they still did."""
    if not task.cancelled():
        task.exception()
