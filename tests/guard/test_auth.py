"""The key cache: who is found, and how new it is."""

import asyncio
from hashlib import sha256

import pytest

from lostid.guard.auth import KeyCache, Refused
from lostid.ledger.apikeys import ApiKey, KeyTable
from lostid.ledger.errors import LedgerDown


def key_of(secret: str, env: str = "live", revoked_seq: int | None = None) -> ApiKey:
    empty: frozenset[str] = frozenset()
    hashed = sha256(secret.encode()).digest()
    return ApiKey("key_1", 1, hashed, env, "o", None, None, frozenset({"checker"}), empty, empty, None, 2, revoked_seq)


class Ledger:
    """Gives its table when the test lets it."""

    def __init__(self, *keys: ApiKey, seq: int = 5) -> None:
        self.seq = seq
        self.keys = keys
        self.loads = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def load(self) -> KeyTable:
        self.loads += 1
        table = KeyTable(self.seq, {key.secret_sha256: key for key in self.keys})
        await self.gate.wait()
        if self.seq < 0:
            raise LedgerDown("away")
        return table


async def turns() -> None:
    """Let everybody come to where they wait."""
    for _ in range(5):
        await asyncio.sleep(0)


def code_of(cache: KeyCache, authorization: bytes | None) -> str:
    try:
        return cache.find(authorization).id
    except Refused as refused:
        return refused.code


async def test_find() -> None:
    """The scheme may be written in any case; everything else is exact."""
    ledger = Ledger(key_of("lid_live_a"), key_of("lid_live_b", revoked_seq=4), key_of("lid_test_c", env="test"))
    cache = KeyCache(ledger.load, sandbox=True)
    assert code_of(cache, b"Bearer lid_live_a") == "key_unknown"
    assert await cache.refresh(5)
    for sent, told in (
        (b"Bearer lid_live_a", "key_1"),
        (b"bearer lid_live_a", "key_1"),
        (b"BEARER   lid_live_a ", "key_1"),
        (b"Bearer lid_live_A", "key_unknown"),
        (b"Bearer lid_live_b", "key_revoked"),
        (b"Bearer lid_test_c", "key_1"),
        (b"Basic lid_live_a", "key_missing"),
        (b"lid_live_a", "key_missing"),
        (b"Bearer ", "key_missing"),
        (b"Bearer " + b"a" * 300, "key_unknown"),
        (b"", "key_missing"),
        (None, "key_missing"),
    ):
        assert code_of(cache, sent) == told
    no_sandbox = KeyCache(ledger.load, sandbox=False)
    await no_sandbox.refresh(5)
    assert code_of(no_sandbox, b"Bearer lid_test_c") == "key_unknown"


async def test_one_load_for_all() -> None:
    """Any number that ask at once share one load; one that began before what is asked for is followed by another."""
    ledger = Ledger(seq=5)
    cache = KeyCache(ledger.load, sandbox=True)
    assert all(await asyncio.gather(*(cache.refresh(5) for _ in range(50))))
    assert ledger.loads == 1
    ledger.gate.clear()
    early = asyncio.create_task(cache.refresh(5))
    await turns()
    ledger.seq = 6
    late = [asyncio.create_task(cache.refresh(6)) for _ in range(50)]
    await turns()
    ledger.gate.set()
    assert await early
    assert all(await asyncio.gather(*late))
    assert ledger.loads == 3


async def test_reload_begins_afterwards() -> None:
    """Without a lease only a load that began after the request counts."""
    ledger = Ledger(seq=5)
    cache = KeyCache(ledger.load, sandbox=True)
    ledger.gate.clear()
    early = asyncio.create_task(cache.refresh(5))
    await turns()
    ledger.keys, ledger.seq = (key_of("lid_live_n"),), 6
    mine = asyncio.create_task(cache.reload())
    await turns()
    ledger.gate.set()
    await asyncio.gather(early, mine)
    assert (cache.seq, code_of(cache, b"Bearer lid_live_n")) == (6, "key_1")


async def test_never_older() -> None:
    """A table that is older than the one at hand is not taken up, and not enough."""
    ledger = Ledger(key_of("lid_live_a"), seq=7)
    cache = KeyCache(ledger.load, sandbox=True)
    await cache.refresh(7)
    ledger.keys, ledger.seq = (), 6
    assert not await cache.refresh(8)
    assert (cache.seq, len(cache)) == (7, 1)


async def test_ledger_away() -> None:
    """Who needs a newer table hears that there is none; the next one asks again."""
    ledger = Ledger(seq=-1)
    cache = KeyCache(ledger.load, sandbox=True)
    told = await asyncio.gather(*(cache.refresh(1) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(error, LedgerDown) for error in told)
    assert not cache.loaded
    ledger.seq = 3
    assert await cache.refresh(1)


@pytest.mark.parametrize("callers", [1, 3])
async def test_a_caller_that_leaves(callers: int) -> None:
    """A request that is given up does not take the load away from the others."""
    ledger = Ledger(seq=3)
    cache = KeyCache(ledger.load, sandbox=True)
    ledger.gate.clear()
    tasks = [asyncio.create_task(cache.refresh(3)) for _ in range(callers)]
    await turns()
    tasks[0].cancel()
    ledger.gate.set()
    rest = await asyncio.gather(*tasks[1:])
    assert all(rest)
    await turns()
    assert cache.seq == 3
