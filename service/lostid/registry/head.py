"""What the registry says of itself: how far it is, how it is laid out, whether it is being filled."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, cast

import redis
import redis.asyncio

from lostid.domain.position import Position
from lostid.registry.keys import FORMAT, HEAD

HASH_LENGTH: Final = 32
BRING: Final = b"bring:"
SORTING: Final = b"sorting"
NONE_BACK: Final = -1
Seen = tuple[bytes, bytes, bytes]
_NUMBERS: Final = (b"seq", b"bits", b"count", b"repaired", b"step", b"done", b"total")


@dataclass(frozen=True, slots=True)
class Head:
    """``position`` is None while the registry is empty, foreign or being filled."""

    position: Position | None
    bits: int
    count: int
    repaired: int
    fill: str  # the filler's nonce, "" for none
    step: int
    done: int  # of the rows to be read from the ledger
    total: int
    seen: Seen  # seq, hash and fill as they stand there: what a wipe compares
    sorting: int | None = None  # so many documents does the ledger sort for the next fill; 0: they are being counted
    drop: str = ""  # who is dropping records, and how far he is, "" for nobody
    bring: Mapping[int, int] = field(default_factory=dict)  # import -> the last part whose records are back

    @property
    def phase(self) -> str:
        """`in_service`, `filling`, `sorting` or `empty`, for people and for readyz."""
        if self.position is not None:
            return "in_service"
        if self.fill:
            return "filling"
        return "empty" if self.sorting is None else "sorting"


EMPTY: Final = Head(None, 0, 0, 0, "", 0, 0, 0, (b"", b"", b""))


def parse(said: Mapping[bytes, bytes]) -> Head:
    """Total: whatever stands there that we did not write reads as no position, and the relay fills anew."""
    seen = (said.get(b"seq", b""), said.get(b"hash", b""), said.get(b"fill", b""))
    numbers = {name: _number(said.get(name)) for name in _NUMBERS}
    ours = said.get(b"format") == str(FORMAT).encode() and b"bits" in said and len(seen[1]) == HASH_LENGTH
    in_service = ours and b"seq" in said and not seen[2]
    return Head(
        position=Position(numbers[b"seq"], seen[1]) if in_service else None,
        bits=numbers[b"bits"],
        count=numbers[b"count"],
        repaired=numbers[b"repaired"],
        fill=seen[2].decode("ascii", "replace"),
        step=numbers[b"step"],
        done=numbers[b"done"],
        total=numbers[b"total"],
        seen=seen,
        sorting=_number(said[SORTING]) if SORTING in said else None,
        drop=said.get(b"drop", b"").decode("ascii", "replace"),
        bring=_bring(said),
    )


def _bring(said: Mapping[bytes, bytes]) -> dict[int, int]:
    """A part that cannot be read counts as none: bringing records twice does no harm."""
    named = {name.removeprefix(BRING): part for name, part in said.items() if name.startswith(BRING)}
    return {_number(name): _number(part) if part.isdigit() else NONE_BACK for name, part in named.items()}


def _number(text: bytes | None) -> int:
    return int(text) if text is not None and text.isdigit() and len(text) < 20 else 0


def read_head(client: redis.Redis) -> Head:
    try:
        return parse(cast(Mapping[bytes, bytes], client.hgetall(HEAD)))
    except redis.ResponseError as error:
        return _unless_foreign(error)


async def read_head_async(client: redis.asyncio.Redis) -> Head:
    try:
        return parse(cast(Mapping[bytes, bytes], await client.hgetall(HEAD)))
    except redis.ResponseError as error:
        return _unless_foreign(error)


async def read_loading_async(client: redis.asyncio.Redis) -> tuple[int, int]:
    """Bytes of its file that a server has read, and all of them; zeros once it has."""
    said = await client.info("persistence")
    return int(said.get("loading_loaded_bytes", 0)), int(said.get("loading_total_bytes", 0))


def _unless_foreign(error: redis.ResponseError) -> Head:
    """Somebody else's key under our name reads as an empty registry; the wipe removes it."""
    if str(error).startswith("WRONGTYPE"):
        return EMPTY
    raise error
