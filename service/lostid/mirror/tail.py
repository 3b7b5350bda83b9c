"""The ledger's last entries as tokens, unsealed once per worker and keyed for each mirror that asks.

What must hold: a stretch holds every document that its entries touch, and its end is on the chain of the position that
this host's lease vouches for. A document left out would be clear in a mirror that believes itself up to date; so a
token that cannot be opened is an error, never a gap.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag

from lostid.domain.keys import KEY_BYTES, Keyring, mirror_hash
from lostid.domain.position import Position
from lostid.ledger.errors import LedgerFault
from lostid.ledger.tokens import PAIR, SealedEntry

TOKEN_BYTES: Final = 16
MOST_KEYS: Final = 20_000
"""An answer ends with the entry that reaches so many documents; the mirror asks again for the rest."""

_READ_AT_ONCE: Final = 64  # entries; those of imports hold hundreds of documents
_KEPT: Final = 2_048  # entries
_AT_ONCE: Final = 128  # tokens between two looks at the loop: under a millisecond

Read = Callable[[int, int, int], Awaitable[Sequence[SealedEntry]]]
"""(after, upto, limit) -> entries in order."""


class NotOnChain(Exception):
    """The server that was read does not continue what is known here. Ask again: it may be behind, or we."""


class TooMuch(Exception):
    """A whole import came into force meanwhile: more documents than an answer holds. A new snapshot has them."""


@dataclass(frozen=True, slots=True)
class _Line:
    prev: bytes
    hash: bytes
    tokens: bytes


@dataclass(frozen=True, slots=True)
class Stretch:
    """What came after entry `since`, whose hash is `origin`. `more`: it ends before the position that was asked for."""

    origin: bytes
    end: Position
    tokens: bytes
    more: bool


class Tail:
    """One per worker. Tokens stay in memory only; they are keyed hashes of numbers, not numbers."""

    def __init__(self, keyring: Keyring, canaries: Mapping[bytes, bytes], read: Read) -> None:
        self._keyring = keyring
        self._canaries = canaries
        self._read = read
        self._lines: OrderedDict[int, _Line] = OrderedDict()
        self._reading = asyncio.Lock()

    async def after(self, since: int, upto: Position) -> Stretch:
        """Raises NotOnChain, TooMuch, LedgerError."""
        try:
            return await self._stretch(since, upto)
        except NotOnChain:
            self._lines.clear()  # a failover may have taken entries away that were kept here
        return await self._stretch(since, upto)

    async def _stretch(self, since: int, upto: Position) -> Stretch:
        if since == upto.seq:
            return Stretch(upto.hash, upto, b"", more=False)
        found: list[_Line] = []
        at, size = since, 0
        while at < upto.seq and size < MOST_KEYS * TOKEN_BYTES:
            line = self._lines.get(at + 1) or await self._fetch(at, upto.seq)
            if found and line.prev != found[-1].hash:
                raise NotOnChain
            found.append(line)
            at, size = at + 1, size + len(line.tokens)
        end = Position(at, found[-1].hash)
        if at == upto.seq and end != upto:
            raise NotOnChain
        return Stretch(found[0].prev, end, b"".join([line.tokens for line in found]), more=at < upto.seq)

    async def _fetch(self, after: int, upto: int) -> _Line:
        async with self._reading:
            if after + 1 not in self._lines:
                for entry in await self._read(after, upto, _READ_AT_ONCE):
                    if entry.too_much:
                        if entry.seq == after + 1:
                            raise TooMuch
                        break
                    self._lines[entry.seq] = _Line(entry.prev, entry.hash, await self._unsealed(entry))
            line = self._lines.get(after + 1)
            while len(self._lines) > _KEPT:
                self._lines.popitem(last=False)
        if line is None:
            raise NotOnChain
        return line

    async def _unsealed(self, entry: SealedEntry) -> bytes:
        tokens = bytearray()
        for number, at in enumerate(range(0, len(entry.pairs), PAIR), 1):
            tokens += unsealed(self._keyring, self._canaries, entry.pairs[at : at + PAIR])
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)  # checks first
        return bytes(tokens)


def unsealed(keyring: Keyring, canaries: Mapping[bytes, bytes], pair: bytes) -> bytes:
    """The token of one pair. Raises LedgerFault for one that the sealing key does not open."""
    key = pair[:KEY_BYTES]
    known = canaries.get(key)
    if known is not None:
        return known
    try:
        return keyring.unseal(key, pair[KEY_BYTES:])
    except InvalidTag:
        raise LedgerFault("a document's sealed token is missing or altered") from None


async def keyed(mirror_key: bytes, tokens: bytes) -> bytes:
    """The mirror positions of tokens, both end to end."""
    positions = bytearray()
    hashed = mirror_hash(mirror_key)
    for number, at in enumerate(range(0, len(tokens), TOKEN_BYTES), 1):
        made = hashed.copy()
        made.update(tokens[at : at + TOKEN_BYTES])
        positions += made.digest()
        if number % (8 * _AT_ONCE) == 0:
            await asyncio.sleep(0)
    return bytes(positions)
