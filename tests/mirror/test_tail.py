"""The tail: what it hands out is whole, in order and on the vouched-for chain, or it hands out nothing."""

import os
from collections.abc import Sequence
from dataclasses import replace

import pytest

from lostid.domain.canaries import canary_tokens
from lostid.domain.position import Position
from lostid.ledger.errors import LedgerFault
from lostid.ledger.tokens import PAIR, SealedEntry
from lostid.mirror import tail
from lostid.mirror.tail import NotOnChain, Tail, TooMuch, keyed
from tests.mirror.making import KEYRING, positions_of

CANARIES = canary_tokens(KEYRING)


def token_of(n: int) -> bytes:
    return n.to_bytes(16, "big")


def pair_of(token: bytes) -> bytes:
    key = KEYRING.key_of_token(token)
    return key + KEYRING.seal(key, token, os.urandom(12))


class Chain:
    """Entries with one document each (or several), read as the ledger gives them; counts how often it is read."""

    def __init__(self, length: int, branch: bytes = b"a", fork_at: int = 0, documents: int = 1) -> None:
        self.reads = 0
        self.entries: list[SealedEntry] = []
        prev = bytes(32)
        for seq in range(1, length + 1):
            own = branch if seq > fork_at else b"a"
            hash_ = own * 16 + seq.to_bytes(16, "big")
            pairs = b"".join(pair_of(token_of(seq * 1_000 + n)) for n in range(documents))
            self.entries.append(SealedEntry(seq, prev, hash_, pairs))
            prev = hash_

    def at(self, seq: int) -> Position:
        return Position(seq, self.entries[seq - 1].hash)

    async def read(self, after: int, upto: int, limit: int) -> Sequence[SealedEntry]:
        self.reads += 1
        return [entry for entry in self.entries if after < entry.seq <= upto][:limit]


def tokens_between(first: int, last: int) -> bytes:
    return b"".join(token_of(seq * 1_000) for seq in range(first, last + 1))


async def test_a_stretch() -> None:
    """Everything after `since`, the hash there, and where it ends; each entry is read once for all mirrors."""
    chain = Chain(100)
    followed = Tail(KEYRING, CANARIES, chain.read)
    for since in (0, 40, 99):
        stretch = await followed.after(since, chain.at(100))
        assert stretch.tokens == tokens_between(since + 1, 100)
        assert stretch.origin == (chain.entries[since - 1].hash if since else bytes(32))
        assert (stretch.end, stretch.more) == (chain.at(100), False)
    assert chain.reads == 2  # of 64 entries each
    nothing = await followed.after(100, chain.at(100))
    assert (nothing.tokens, nothing.origin) == (b"", chain.at(100).hash)


async def test_whole_import() -> None:
    """What does not fit into an answer is said to be too much: never left out."""
    chain = Chain(10)
    chain.entries[4] = replace(chain.entries[4], too_much=True)
    followed = Tail(KEYRING, CANARIES, chain.read)
    for since in (0, 4):
        with pytest.raises(TooMuch):
            await followed.after(since, chain.at(10))
    assert (await followed.after(0, chain.at(4))).tokens == tokens_between(1, 4)
    assert (await followed.after(5, chain.at(10))).tokens == tokens_between(6, 10)


async def test_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long stretch ends early, with an entry, and says so; the next begins where it ended."""
    monkeypatch.setattr(tail, "MOST_KEYS", 10)
    chain = Chain(9, documents=4)
    followed = Tail(KEYRING, CANARIES, chain.read)
    ends, at = [], 0
    while at < 9:
        stretch = await followed.after(at, chain.at(9))
        ends.append((stretch.end.seq, stretch.more))
        at = stretch.end.seq
    assert ends == [(3, True), (6, True), (9, False)]


async def test_forgets_a_lost_tail() -> None:
    """After a failover the same numbers are other entries: what was kept of the old ones is never handed out."""
    chain = Chain(50)
    followed = Tail(KEYRING, CANARIES, chain.read)
    await followed.after(0, chain.at(50))
    other = Chain(60, b"b", fork_at=45)
    chain.entries = other.entries
    stretch = await followed.after(40, other.at(60))
    assert (stretch.end, stretch.origin) == (other.at(60), other.at(40).hash)
    assert (await followed.after(48, other.at(60))).origin == other.at(48).hash


async def test_a_server_behind_or_elsewhere() -> None:
    """The ledger that was read does not have the position that the lease vouches for: no stretch at all."""
    chain = Chain(50)
    with pytest.raises(NotOnChain):
        await Tail(KEYRING, CANARIES, chain.read).after(10, Position(51, b"x" * 32))
    with pytest.raises(NotOnChain):
        await Tail(KEYRING, CANARIES, chain.read).after(10, Position(50, b"x" * 32))
    del chain.entries[30]
    with pytest.raises(NotOnChain):
        await Tail(KEYRING, CANARIES, chain.read).after(10, chain.at(49))


@pytest.mark.parametrize("damage", [bytes(PAIR - 16), pair_of(token_of(7))[16:]], ids=["missing", "another's"])
async def test_a_token_that_does_not_open(damage: bytes) -> None:
    """Never a gap: the document would be clear in every mirror."""
    chain = Chain(3)
    last = chain.entries[2]
    chain.entries[2] = SealedEntry(last.seq, last.prev, last.hash, last.pairs[:16] + damage)
    with pytest.raises(LedgerFault):
        await Tail(KEYRING, CANARIES, chain.read).after(0, chain.at(3))


async def test_canaries_need_no_token() -> None:
    """The ledger holds none for them; the keyring does."""
    key, token = next(iter(CANARIES.items()))
    chain = Chain(1)
    first = chain.entries[0]
    chain.entries[0] = SealedEntry(first.seq, first.prev, first.hash, key + bytes(PAIR - 16))
    assert (await Tail(KEYRING, CANARIES, chain.read).after(0, chain.at(1))).tokens == token


async def test_keyed() -> None:
    """As the mirror makes them from numbers."""
    tokens = [token_of(n) for n in range(3)]
    assert await keyed(KEYRING.mirror_key("key_" + "1" * 32), b"".join(tokens)) == positions_of(tokens)
