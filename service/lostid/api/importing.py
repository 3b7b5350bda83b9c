"""Imports, from what was sent to the answer: opening, rows, release, withdrawal."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from fastapi import Request
from pydantic import MISSING

from lostid.api import ids, import_lines
from lostid.api.admission import Sent, header
from lostid.api.clock import Clock, now_ms
from lostid.api.import_lines import BadHeader, Lines, Parse
from lostid.api.import_part import PartMaker
from lostid.api.import_rows import Stager
from lostid.api.models import ImportAct, ImportRequest, ImportWithdrawal
from lostid.api.parts import Parts
from lostid.api.problems import Fault, Problem
from lostid.api.withdrawing import actor_of
from lostid.api.writing import Proved, Receipt, prove, to_its_end
from lostid.domain import importing as rules
from lostid.domain.staged import PART_LINES
from lostid.domain.withdrawal import Denied
from lostid.ledger import import_staging, imports, writes
from lostid.ledger.apikeys import ApiKey
from lostid.ledger.import_staging import Change, Counts
from lostid.ledger.imports import Import, NewImport
from lostid.ledger.pool import aconnect
from lostid.ledger.statement import AsyncConn
from lostid.ledger.writes import InForce, Outcome, WriteKey

OPENED: Final = 201
ACCEPTED: Final = 202
NOT_READY: Final = "import_not_ready"
# So many rows are read without a pause: about a millisecond, in which this worker's checks wait.
AT_ONCE: Final = 64
MOST_PARTS: Final = 32
"""Of 8,192 lines each, in one transaction: some 100 MB in memory while one such is written and the next is read. The
first transaction has one, each of the others twice as many as the one before."""
PATIENCE_S: Final = 10.0
POLL_S: Final = 0.05
LONG: Final = "10min"
"""A statement over all rows of an import takes its time."""


async def open_(parts: Parts, key: ApiKey, asked: Sent[ImportRequest], idempotency_key: str) -> Receipt:
    body = asked.body
    if body.operator is not MISSING and body.operator != key.operator:
        raise Problem("operator_mismatch")
    write = _write_key(parts, key, asked.canonical, idempotency_key)
    declared = None if body.sha256 is MISSING else _keyed(parts, bytes.fromhex(body.sha256))
    dry_run = body.dry_run is True
    new = NewImport(parts.ids.new(imports.PREFIX, now_ms()), actor_of(key), body.source, dry_run, declared, now_ms())

    async def answer(proved: Proved) -> tuple[bytes, InForce | None]:
        return _json({"id": proved.id, "state": rules.RECEIVING, "dry_run": dry_run}), None

    async def story() -> Receipt:
        outcome = await parts.reports_pool.write(lambda conn: imports.open_(conn, write, new))
        return await prove(parts, write, new.id, outcome, OPENED, answer)

    with parts.report_room.place():
        return await to_its_end(story())


async def find(parts: Parts, key: ApiKey, id_: str) -> Import:
    """Of the caller's own organisation. Raises Problem not_found."""
    found = None
    if ids.IMPORT_ID.fullmatch(id_):
        found = await parts.reads_pool.read(lambda conn: imports.get(conn, key.env, key.org, id_))
    if found is None:
        raise Problem("not_found")
    return found


async def receive(parts: Parts, key: ApiKey, found: Import, request: Request) -> None:
    """All rows, as they come. Raises Problem; what was staged until then stays, and is known when it comes again."""
    if found.operator != key.operator:
        raise Problem("operator_mismatch")
    charset = import_lines.charset_of(
        header(request, b"content-type") or b"", header(request, b"content-encoding") or b""
    )
    if charset is None:
        raise Problem("media_type")
    assert parts.settings.database_url is not None  # noqa: S101  a worker is told
    with parts.import_room.place():
        # A connection of its own: it is held for as long as the client takes to send.
        async with await aconnect(parts.settings.database_url, name="lostid-rows", statement_timeout=LONG) as conn:
            await _Receiving(parts, key, found, charset, conn).run(request)


class _Receiving:
    """One sending of an import's rows. Parts of the file are on their way to the ledger while the next are read."""

    def __init__(self, parts: Parts, key: ApiKey, found: Import, charset: str, conn: AsyncConn) -> None:
        self._parts = parts
        self._found = found
        self._charset = charset
        self._conn = conn
        self._stager = Stager(parts.keyring, parts.clock, key, found.id, now_ms())
        self._parse: Parse | None = import_lines.ndjson_parse if charset == "ndjson" else None
        self._known: Mapping[int, int] = {}
        self._maker: PartMaker | None = None
        self._accepted = self._rejected = 0
        self._held: list[Change] = []
        self._at_once = 1
        self._staging: asyncio.Task[bool] | None = None

    async def run(self, request: Request) -> None:
        number = self._found.number
        if not await import_staging.begin(self._conn, number):
            raise _not_ready()
        self._known = await import_staging.known(self._conn, number)
        sha256, lines = hashlib.sha256(), Lines()
        try:
            async for part in request.stream():
                sha256.update(part)
                await self._take(lines.feed(part))
            await self._take(lines.end())
            await self._end_part()
            await self._stage()
        finally:
            await self._settled()  # nothing cancels a database call
        if self._parse is None:
            raise Problem("invalid", [Fault(f"/header/{name}", "field_missing") for name in import_lines.REQUIRED])
        received = _keyed(self._parts, sha256.digest())
        whole = await import_staging.finish(self._conn, number, lines.number, self._counts(), received)
        if whole is None:
            raise _not_ready()
        if not whole:
            raise Problem("invalid", [Fault("/sha256", "sha256_differs")])

    async def _take(self, found: list[tuple[int, bytes]]) -> None:
        for at in range(0, len(found), AT_ONCE):
            for line, raw in found[at : at + AT_ONCE]:
                text = self._headed(raw) if line == 1 else raw
                maker = self._maker
                if maker is None:
                    maker = self._maker = await self._begin_part((line - 1) // PART_LINES)
                maker.take(line, text)
                if line % PART_LINES == 0:
                    await self._end_part()
            await asyncio.sleep(0)  # checks first

    def _headed(self, raw: bytes) -> bytes:
        """The first line; of a CSV file it says how the others are read, and nothing else."""
        raw = import_lines.without_bom(self._charset, raw)
        if self._parse is not None:
            return raw
        try:
            self._parse = import_lines.csv_parser(self._charset, raw)
        except BadHeader as bad:
            raise Problem("invalid", [Fault(pointer, code) for pointer, code in bad.faults]) from None
        return b""

    async def _begin_part(self, place: int) -> PartMaker:
        assert self._parse is not None  # noqa: S101  the first line has seen to that
        known, rejected = None, 0
        if place in self._known:
            await self._settled()  # there is one connection
            known, rejected = await import_staging.part(self._conn, self._found.number, place)
        return PartMaker(self._stager, self._parse, place, known, rejected)

    async def _end_part(self) -> None:
        if self._maker is None:
            return
        made, self._maker = self._maker.made(), None
        self._accepted += made.part.accepted
        self._rejected += made.rejected
        if made.changed:
            part = None if self._found.dry_run else made.part
            self._held.append(Change(part, made.rejections, made.part.part in self._known))
            if len(self._held) == self._at_once:
                await self._stage()
                self._at_once = min(2 * self._at_once, MOST_PARTS)

    async def _stage(self) -> None:
        """What is held goes to the ledger, while the next parts are read."""
        await self._settled()
        held, self._held = self._held, []
        if held:
            staging = import_staging.stage(self._conn, self._found.number, held, self._counts())
            self._staging = asyncio.create_task(staging)

    async def _settled(self) -> None:
        """Until the ledger has what it was sent. Raises Problem where it is too late for rows."""
        staging, self._staging = self._staging, None
        if staging is not None and not await asyncio.shield(staging):
            raise _not_ready()

    def _counts(self) -> Counts:
        return Counts(self._accepted + self._rejected, self._accepted, self._rejected)


Act = Callable[[AsyncConn, WriteKey], Awaitable[Outcome | Denied]]


async def release(parts: Parts, key: ApiKey, id_: str, asked: Sent[ImportAct], idempotency_key: str) -> Receipt:
    """Answered when all its rows are in force, on every host."""
    actor = actor_of(key)
    await _everywhere(parts, key, id_)
    return await _act(
        parts, key, id_, asked, idempotency_key, lambda conn, write: imports.release(conn, write, id_, actor)
    )


async def withdraw(parts: Parts, key: ApiKey, id_: str, asked: Sent[ImportWithdrawal], idempotency_key: str) -> Receipt:
    """The whole import, and nothing else."""
    actor, why = actor_of(key), _why(asked.body)
    return await _act(
        parts, key, id_, asked, idempotency_key, lambda conn, write: imports.withdraw(conn, write, id_, actor, why)
    )


def _why(asked: ImportWithdrawal) -> dict[str, str]:
    """As facts of an entry, which stays for good: the words of the evidence are not among them."""
    why = {} if asked.grounds is MISSING else {"grounds": asked.grounds}
    if asked.evidence is not MISSING:
        why["evidence_sha256"] = hashlib.sha256(asked.evidence.encode()).hexdigest()
    return why


async def _everywhere(parts: Parts, key: ApiKey, id_: str) -> None:
    """A host takes a moment to set the bits of what was just sent. Whether all of them have is for the release."""
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            while not (await find(parts, key, id_)).settled:  # noqa: ASYNC110  only the ledger knows
                await asyncio.sleep(POLL_S)


async def _act(
    parts: Parts, key: ApiKey, id_: str, asked: Sent[ImportAct] | Sent[ImportWithdrawal], idempotency_key: str, act: Act
) -> Receipt:
    if asked.body.operator is not MISSING and asked.body.operator != key.operator:
        raise Problem("operator_mismatch")
    await find(parts, key, id_)
    write = _write_key(parts, key, asked.canonical, idempotency_key)

    async def answer(_: Proved) -> tuple[bytes, InForce | None]:
        return _json({"id": id_, "state": _told(await find(parts, key, id_))}), None

    async def story() -> Receipt:
        outcome = await parts.reports_pool.write(lambda conn: act(conn, write))
        if isinstance(outcome, Denied):
            raise _not_ready() if outcome.code == NOT_READY else Problem(outcome.code)
        return await prove(parts, write, id_, outcome, ACCEPTED, answer)

    with parts.report_room.place():
        return await to_its_end(story())


def shown(clock: Clock, found: Import) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": found.id,
        "state": _told(found),
        "source": found.source,
        "operator": found.operator,
        "dry_run": found.dry_run,
        "created_at": clock.text(found.created_ms),
        "counts": {
            "lines": found.lines,
            "accepted": found.accepted,
            "rejected": found.rejected,
            "in_force": found.accepted if found.state == rules.RELEASED else 0,
        },
        "progress": {"done": found.lines},
    }
    if found.state == rules.RECEIVED:
        told["staged"] = {"hosts": found.hosts, "confirmed": found.confirmed}
    if found.review:
        told["review"] = True
    if found.release_ms is not None:
        told["released_at"] = clock.text(found.release_ms)
    return told


def _told(found: Import) -> str:
    if found.asked_by is not None and found.state == rules.RELEASED:
        return "withdrawal_awaiting_approval"
    return found.state


def _not_ready() -> Problem:
    """Too early or too late for this; or its rows are being sent right now."""
    return Problem("invalid", [Fault("/state", NOT_READY)])


def _keyed(parts: Parts, sha256: bytes) -> bytes:
    return parts.keyring.fingerprint(b"import\0" + sha256)


def _write_key(parts: Parts, key: ApiKey, canonical: bytes, idempotency_key: str) -> WriteKey:
    return writes.write_key(parts.keyring.fingerprint_key, key.env, key.org, idempotency_key, canonical)


def _json(told: dict[str, Any]) -> bytes:
    return json.dumps(told, separators=(",", ":")).encode()
