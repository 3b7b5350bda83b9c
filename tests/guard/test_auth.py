"""The key cache: who is found, and how new it is."""

import asyncio
import random
from hashlib import sha256

import pytest

from lostid.domain.position import Position
from lostid.guard.auth import KeyCache, Refused
from lostid.ledger.apikeys import ApiKey, KeyTable
from lostid.ledger.errors import LedgerDown
from lostid.replication.checking import KeysAsOf, keys_current


def key_of(secret: str, env: str = "live", revoked_seq: int | None = None) -> ApiKey:
    empty: frozenset[str] = frozenset()
    hashed = sha256(secret.encode()).digest()
    return ApiKey("key_1", 1, hashed, env, "o", None, None, frozenset({"checker"}), empty, empty, None, 2, revoked_seq)


GEN = 3


class Ledger:
    """Gives its table when the test lets it. `seq`: up to where it goes; the host's page shows `page_seq` of `gen`."""

    def __init__(self, *keys: ApiKey, seq: int = 5) -> None:
        self.seq = self.page_seq = seq
        self.gen = GEN
        self.keys = keys
        self.loads = 0
        self.gate = asyncio.Event()
        self.gate.set()

    def goes_to(self, seq: int) -> None:
        self.seq = self.page_seq = seq

    def shown(self) -> tuple[int, Position] | None:
        return (self.gen, Position(self.page_seq, b"h" * 32)) if self.gen else None

    def cache(self, *, sandbox: bool = True) -> KeyCache:
        return KeyCache(self.load, self.shown, sandbox=sandbox)

    async def load(self, at: Position | None) -> KeyTable:
        self.loads += 1
        table = KeyTable(at is not None and at.seq <= self.seq, {key.secret_sha256: key for key in self.keys})
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
    cache = ledger.cache()
    assert code_of(cache, b"Bearer lid_live_a") == "key_unknown"
    assert await cache.refresh(GEN, 5)
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
    no_sandbox = ledger.cache(sandbox=False)
    await no_sandbox.refresh(GEN, 5)
    assert code_of(no_sandbox, b"Bearer lid_test_c") == "key_unknown"


async def test_one_load_for_all() -> None:
    """Any number that ask at once share one load; one that began before what is asked for is followed by another."""
    ledger = Ledger(seq=5)
    cache = ledger.cache()
    assert all(await asyncio.gather(*(cache.refresh(GEN, 5) for _ in range(50))))
    assert ledger.loads == 1
    ledger.gate.clear()
    early = asyncio.create_task(cache.refresh(GEN, 5))
    await turns()
    ledger.goes_to(6)
    late = [asyncio.create_task(cache.refresh(GEN, 6)) for _ in range(50)]
    await turns()
    ledger.gate.set()
    assert await early
    assert all(await asyncio.gather(*late))
    assert ledger.loads == 3


async def test_reload_begins_afterwards() -> None:
    """Without a lease only a load that began after the request counts."""
    ledger = Ledger(seq=5)
    cache = ledger.cache()
    ledger.gate.clear()
    early = asyncio.create_task(cache.refresh(GEN, 5))
    await turns()
    ledger.keys = (key_of("lid_live_n"),)
    ledger.goes_to(6)
    mine = asyncio.create_task(cache.reload())
    await turns()
    ledger.gate.set()
    await asyncio.gather(early, mine)
    assert (cache.seq, code_of(cache, b"Bearer lid_live_n")) == (6, "key_1")


async def test_a_lost_tail_proves_nothing() -> None:
    """Keys from a server that lacks the host's position are as new as nothing, whatever that server's head is."""
    ledger = Ledger(key_of("lid_live_a"), seq=7)
    cache = ledger.cache()
    assert await cache.refresh(GEN, 7)
    ledger.seq = 6  # after a failover: the page has seen an entry that this server has not
    assert not await cache.refresh(GEN, 7)
    assert not await cache.refresh(GEN, 1)
    assert cache.loaded
    ledger.gen, ledger.page_seq = GEN + 1, 6  # the host has loaded anew
    assert not cache.current(GEN + 1, 6)
    assert await cache.refresh(GEN + 1, 6)


async def test_keys_of_another_generation() -> None:
    """Where a host has loaded anew, its auth_seq counts on another chain: the same number says nothing."""
    ledger = Ledger(key_of("lid_live_a"), seq=7)
    cache = ledger.cache()
    assert await cache.refresh(GEN, 7)
    assert cache.current(GEN, 7)
    assert not cache.current(GEN + 1, 7)
    assert not cache.current(GEN, 8)


async def test_without_a_page() -> None:
    """The keys serve those who need no lease, and count as nothing for those who do."""
    ledger = Ledger(key_of("lid_live_a"))
    ledger.gen = 0
    cache = ledger.cache()
    await cache.reload()
    assert (cache.loaded, code_of(cache, b"Bearer lid_live_a")) == (True, "key_1")
    assert not cache.current(0, 0)


@pytest.mark.parametrize("seed", range(20))
async def test_the_rule_of_the_simulation(seed: int) -> None:
    """What the cache says of itself is what `keys_current` says, which the simulation has tried."""
    rng = random.Random(seed)
    ledger = Ledger()
    cache = ledger.cache()
    held: KeysAsOf | None = None
    for _ in range(200):
        if rng.random() < 0.3:
            ledger.gen, ledger.page_seq, ledger.seq = (rng.randrange(1, 4), rng.randrange(9), rng.randrange(9))
            await cache.reload()
            held = KeysAsOf(ledger.gen, ledger.page_seq) if ledger.page_seq <= ledger.seq else None
        gen, auth_seq = rng.randrange(1, 4), rng.randrange(9)
        assert cache.current(gen, auth_seq) == keys_current(held, gen, auth_seq)


async def test_ledger_away() -> None:
    """Who needs a newer table hears that there is none; the next one asks again."""
    ledger = Ledger(seq=-1)
    cache = ledger.cache()
    told = await asyncio.gather(*(cache.refresh(GEN, 1) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(error, LedgerDown) for error in told)
    assert not cache.loaded
    ledger.goes_to(3)
    assert await cache.refresh(GEN, 1)


@pytest.mark.parametrize("callers", [1, 3])
async def test_a_caller_that_leaves(callers: int) -> None:
    """A request that is given up does not take the load away from the others."""
    ledger = Ledger(seq=3)
    cache = ledger.cache()
    ledger.gate.clear()
    tasks = [asyncio.create_task(cache.refresh(GEN, 3)) for _ in range(callers)]
    await turns()
    tasks[0].cancel()
    ledger.gate.set()
    rest = await asyncio.gather(*tasks[1:])
    assert all(rest)
    await turns()
    assert cache.seq == 3
