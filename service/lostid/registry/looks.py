"""Looking at whole buckets, to compare them: fingerprints of many, records of one. Small scripts that only read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from lostid.domain.position import Position
from lostid.registry.buckets import MAX_BITS, Layout
from lostid.registry.head import HASH_LENGTH
from lostid.registry.keys import HEAD
from lostid.registry.scripts import Name
from lostid.registry.writer import Writer

AT_ONCE: Final = 32
"""Buckets in a script: about a millisecond of the server's time."""


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """SHA-1 of each bucket as Redis has it serialised, end to end, at one head. Equal bytes: equal buckets."""

    at: Position
    bits: int
    joined: bytes


@dataclass(frozen=True, slots=True)
class Bucket:
    """What stands in one bucket, at one head."""

    at: Position
    bits: int
    fingerprint: bytes
    records: dict[bytes, bytes]


def fingerprints(writer: Writer, layout: Layout, first: int, end: int) -> Fingerprints | None:
    """Of buckets ``first`` to ``end``. None while the registry is empty, being filled or
    without the records of an import."""
    names = [layout.name(index) for index in range(first, end)]
    reply = cast(list[bytes], writer.run(Name.FINGERPRINTS, [HEAD, *names], []))
    head = _head(reply)
    return Fingerprints(*head, bytes.fromhex(reply[3].decode("ascii"))) if head else None


def bucket(writer: Writer, layout: Layout, index: int) -> Bucket | None:
    """Everything in a bucket. None as above. Raises redis.ResponseError where the bucket is no hash."""
    reply = writer.run(Name.CONTENTS, [HEAD, layout.name(index)], [])
    head = _head(reply)
    if head is None:
        return None
    said: Sequence[bytes] = reply[4]
    made = bytes.fromhex(reply[3].decode("ascii"))
    return Bucket(*head, made, dict(zip(said[::2], said[1::2], strict=True)))


def _head(reply: Sequence[bytes]) -> tuple[Position, int] | None:
    """What is not ours reads as no head at all; the relay sees to it."""
    if not reply:
        return None
    seq, hash_, bits = reply[:3]
    if not (seq.isdigit() and len(seq) < 20 and bits.isdigit() and int(bits) <= MAX_BITS and len(hash_) == HASH_LENGTH):
        return None
    return Position(int(seq), hash_), int(bits)
