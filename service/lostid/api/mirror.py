"""/v1/mirror: a filter for checks in the caller's own process, and what came after it.

A statement of changes says: every report whose receipt went out before `as_of` is in the entries up to (seq, hash).
It is made as a check is answered: the lease is read first, then the host's position, then the clock. It carries the
caller's nonce, so it was made after the question, and `waited_ms`, how long after: the caller counts its age on its own
clock. Mirrors hold no lease and are waited for by nobody.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, BinaryIO, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from lostid.api.admission import caller, refuse_numbered
from lostid.api.clock import now_ms
from lostid.api.meters import SENT_CHANGES, SENT_SNAPSHOT, Meters, behind_word
from lostid.api.parts import Parts, parts_of
from lostid.api.problems import Fault, Problem
from lostid.domain.keys import mirror_check
from lostid.domain.position import Position
from lostid.domain.roles import MIRROR
from lostid.filter.page import Unproven, boottime_ns
from lostid.filter.view import LEASE_UNTIL
from lostid.ledger import doc_keys, tokens
from lostid.ledger.apikeys import ApiKey
from lostid.log import receipts
from lostid.mirror.shelf import HEADER_BYTES, Facts
from lostid.mirror.tail import NotOnChain, Stretch, TooMuch, keyed

MOST_WAIT_S: Final = 25
NONCE: Final = "^[A-Za-z0-9_-]{16,64}$"
SHA256: Final = "^[0-9a-f]{64}$"
_NONCE: Final = re.compile(NONCE[1:-1], re.ASCII)
_SHA256: Final = re.compile(SHA256[1:-1], re.ASCII)
_LOOK_EVERY_S: Final = 0.05
_OUTLIVES_A_LEASE_S: Final = 2.0
_SNAPSHOT_MS: Final = 3_600_000
_SNAPSHOT_LAG: Final = 100_000
"""Entries. A snapshot that is older or further behind is made anew: the changes since would cost more."""
_PART: Final = 1 << 18

router = APIRouter(prefix="/v1/mirror")
_mirror = caller(MIRROR)


async def mirror_key(request: Request) -> ApiKey:
    """The caller's key. The sandbox has no mirrors: its keys are given away freely, the outer key must not be."""
    key = await _mirror(request)
    if key.env != "live":
        raise Problem("role_missing")
    return key


Mirror = Annotated[ApiKey, Depends(mirror_key)]


@router.get("/snapshot")
async def snapshot(request: Request, key: Mirror) -> Response:
    """The mirror's filter: a signed line that describes it, then its bits; where `sha256` names them, those after the
    first `from` bytes, which the caller has already."""
    refuse_numbered(request)
    parts, begun = parts_of(request), _begun(request)
    with parts.read_room.place():
        facts = await _current(parts, key)
        if facts is None:
            await parts.shelf.order(key.id)
            raise Problem("starting")
        line = parts.checks.signer.mirror(_described(parts, facts), receipts.SNAPSHOT_TYP).encode() + b"\n"
        file = await asyncio.to_thread(parts.shelf.path(key.id).open, "rb")
    skipped = min(begun.bytes, facts.bytes) if begun.sha256 == facts.sha256 else 0
    headers = {"Content-Length": str(len(line) + facts.bytes - skipped)}
    sent = _counted(parts.meters, _streamed(line, file, HEADER_BYTES + skipped))
    return StreamingResponse(sent, headers=headers, media_type="application/octet-stream")


@router.get("/changes")
async def changes(request: Request, key: Mirror) -> Response:
    """What came after entry `since`, up to now; waits for something to come where `wait` says how long."""
    received = boottime_ns()
    refuse_numbered(request)
    parts, asked = parts_of(request), _asked(request)
    with parts.mirror_room.place():
        await _until_something(parts, asked)
    key = await mirror_key(request)  # it may have been revoked meanwhile
    waited_ms = (boottime_ns() - received) // 1_000_000
    as_of_ms = now_ms()
    at = _vouched(parts)
    parts.meters.add(behind_word(at.seq - asked.since))
    with parts.read_room.place():
        stretch = await _stretch(parts, asked.since, at)
    secret = parts.keyring.mirror_key(key.id)
    positions = b"" if stretch is None else await keyed(secret, stretch.tokens)
    claims = {
        "mirror": key.id,
        "key_check": mirror_check(secret),
        "nonce": asked.nonce,
        "since": asked.since,
        **_placed(stretch, at),
        "as_of": parts.clock.text(as_of_ms),
        "waited_ms": waited_ms,
        "sha256": hashlib.sha256(positions).hexdigest(),
    }
    statement = parts.checks.signer.mirror(claims, receipts.CHANGES_TYP)
    answer = JSONResponse({"statement": statement, "positions": base64.b64encode(positions).decode()})
    parts.meters.add(SENT_CHANGES, len(answer.body))
    return answer


def _placed(stretch: Stretch | None, at: Position) -> dict[str, Any]:
    """`origin`: the hash of entry `since`. Null where the chain does not reach it, so the mirror is on another, or
    where an import came into force that is too large for an answer: in both cases a new snapshot helps."""
    if stretch is None:
        return {"origin": None, "seq": at.seq, "hash": at.hash.hex(), "more": False}
    return {
        "origin": stretch.origin.hex(),
        "seq": stretch.end.seq,
        "hash": stretch.end.hash.hex(),
        "more": stretch.more,
    }


async def _stretch(parts: Parts, since: int, at: Position) -> Stretch | None:
    if since > at.seq:
        return None
    try:
        return await parts.tail.after(since, at)
    except TooMuch:
        return None
    except NotOnChain:
        raise Problem("freshness_unproven") from None


async def _until_something(parts: Parts, asked: _Asked) -> None:
    """Until this host is beyond `since`. A host that holds a lease is never behind another for longer than a lease:
    who is still ahead of it after that is on another chain, and must not be kept waiting."""
    waited = 0.0
    while not parts.stopping():
        seq = _vouched(parts).seq
        if seq > asked.since or waited >= (asked.wait_s if seq == asked.since else _OUTLIVES_A_LEASE_S):
            return
        await asyncio.sleep(_LOOK_EVERY_S)
        waited += _LOOK_EVERY_S


def _vouched(parts: Parts) -> Position:
    """A position that contains every report receipted before this call (invariant I4). Raises Problem."""
    view = parts.checks.view
    if view is None:
        raise Problem("starting")
    until = view.slots[LEASE_UNTIL]
    try:
        at = view.page.position()
    except Unproven:
        raise Problem("freshness_unproven") from None
    if boottime_ns() >= until:
        raise Problem("freshness_unproven")
    return at


async def _current(parts: Parts, key: ApiKey) -> Facts | None:
    """The snapshot that lies there, if it is worth sending."""
    facts, at = parts.shelf.find(key.id), _vouched(parts)
    if facts is None or now_ms() - facts.as_of_ms > _SNAPSHOT_MS or not 0 <= at.seq - facts.seq <= _SNAPSHOT_LAG:
        return None
    place = {"seq": facts.seq, "hash": bytes.fromhex(facts.hash)}
    if not await parts.reads_pool.read(lambda conn: doc_keys.HAS.arun(conn, place)):
        return None
    between = {"after": facts.seq, "upto": at.seq, "most": tokens.MOST_STAGED}
    return None if await parts.reads_pool.read(lambda conn: tokens.RELEASED_BETWEEN.arun(conn, between)) else facts


def _described(parts: Parts, facts: Facts) -> dict[str, Any]:
    return {
        "mirror": facts.mirror,
        "key_check": mirror_check(parts.keyring.mirror_key(facts.mirror)),
        "seq": facts.seq,
        "hash": facts.hash,
        "as_of": parts.clock.text(facts.as_of_ms),
        "documents": facts.documents,
        "capacity": facts.capacity,
        "slices": facts.slices,
        "bits_per_slice": facts.bits_per_slice,
        "bytes": facts.bytes,
        "sha256": facts.sha256,
    }


async def _counted(meters: Meters, sent: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for part in sent:
        yield part
        meters.add(SENT_SNAPSHOT, len(part))


async def _streamed(line: bytes, file: BinaryIO, at: int) -> AsyncIterator[bytes]:
    """The open file is the snapshot that was described, whatever is renamed over it meanwhile."""
    with file:
        file.seek(at)
        yield line
        while part := await asyncio.to_thread(file.read, _PART):
            yield part


@dataclass(frozen=True, slots=True)
class _Begun:
    """The first `bytes` of the bits with this SHA-256 are with the caller."""

    bytes: int
    sha256: str


def _begun(request: Request) -> _Begun:
    """Raises Problem."""
    start, sha256 = request.query_params.get("from", "0"), request.query_params.get("sha256", "")
    faults = []
    if not (start.isascii() and start.isdigit() and len(start) <= 18):
        faults.append(Fault("/query/from", "value_invalid"))
    if sha256 and _SHA256.fullmatch(sha256) is None:
        faults.append(Fault("/query/sha256", "value_invalid"))
    if faults:
        raise Problem("invalid", faults)
    return _Begun(int(start), sha256)


@dataclass(frozen=True, slots=True)
class _Asked:
    since: int
    nonce: str
    wait_s: int


def _asked(request: Request) -> _Asked:
    """Raises Problem."""
    query = request.query_params
    since, nonce, wait = query.get("since", ""), query.get("nonce", ""), query.get("wait", "0")
    faults = []
    if not (since.isascii() and since.isdigit() and len(since) <= 18):
        faults.append(Fault("/query/since", "value_invalid" if since else "field_missing"))
    if _NONCE.fullmatch(nonce) is None:
        faults.append(Fault("/query/nonce", "value_invalid" if nonce else "field_missing"))
    if not (wait.isascii() and wait.isdigit() and len(wait) <= 2 and int(wait) <= MOST_WAIT_S):
        faults.append(Fault("/query/wait", "value_invalid"))
    if faults:
        raise Problem("invalid", faults)
    return _Asked(int(since), nonce, int(wait))
