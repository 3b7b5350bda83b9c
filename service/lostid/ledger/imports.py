"""Rows about imports, and the acts that move them: opening, release, withdrawal. Each is an entry and a row in one
transaction, and with the row's state all that was staged (`import_staging`) is in force, or is no longer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from psycopg.types.json import Jsonb

from lostid.domain import importing as rules
from lostid.domain import staged
from lostid.domain.importing import Imported
from lostid.domain.withdrawal import Actor, Denied
from lostid.ledger import entries, writes
from lostid.ledger.entries import Draft
from lostid.ledger.statement import AsyncConn, Statement, committing, nothing
from lostid.ledger.withdrawing import who
from lostid.ledger.writes import New, Outcome, WriteKey

DAY_MS: Final = 24 * 3600 * 1000
PREFIX: Final = "imp_"


@dataclass(frozen=True, slots=True)
class Import:
    number: int
    id: str
    seq: int
    env: str
    org: str
    station: str
    operator: str
    key_id: str
    source: str
    dry_run: bool
    state: str
    lines: int
    accepted: int
    rejected: int
    staged: int
    digest: bytes | None
    release_seq: int | None
    created_ms: int
    release_ms: int | None
    alone: bool
    """One person put it in force. Two did where a rewind has put it back."""
    asked_by: Mapping[str, Any] | None
    review: bool
    """A rewind has put it in doubt."""
    alone_today: int
    hosts: int
    confirmed: int
    """Hosts that have set the bits of all its rows."""

    @property
    def by(self) -> Actor:
        return Actor(self.key_id, self.env, self.org, self.station, self.operator)

    @property
    def settled(self) -> bool:
        """There is no host to wait for."""
        return self.state != rules.RECEIVED or self.confirmed >= self.hosts

    @property
    def imported(self) -> Imported:
        """The facts for the domain's rules."""
        asked = None if self.asked_by is None else Actor(**self.asked_by)
        everywhere = self.confirmed >= self.hosts
        return Imported(self.by, self.state, self.accepted, self.alone, self.alone_today, asked, everywhere=everywhere)

    def flip(self) -> dict[str, Any]:
        """What an entry says of its rows, so that the chain's hash covers them."""
        digest = None if self.digest is None else self.digest.hex()
        return {"number": self.number, "staged": self.staged, "digest": digest}


@dataclass(frozen=True, slots=True)
class NewImport:
    id: str
    by: Actor
    source: str
    dry_run: bool
    declared: bytes | None
    now_ms: int


# A request for a withdrawal counts until a rewind has put its asker's acts of that time in doubt.
_SELECT: Final = """
    SELECT i.number, i.id, i.seq, i.env, i.org, i.station, i.operator, i.key_id, i.source, i.dry_run, i.state,
           i.lines, i.accepted, i.rejected, i.staged, i.digest, i.release_seq, i.created_ms, i.release_ms,
           i.alone AND NOT EXISTS (SELECT FROM import_turns t WHERE t.import = i.number),
           CASE WHEN NOT EXISTS (
                SELECT FROM withdrawals w
                 WHERE w.kind = 'rewind' AND w.state = 'approved' AND w.env = i.env AND w.org = i.org
                   AND w.target = i.asked_by ->> 'operator'
                   AND (i.asked_by ->> 'at_ms')::bigint BETWEEN w.since_ms AND w.decided_ms)
                THEN i.asked_by - 'at_ms' END,
           EXISTS (SELECT FROM import_reviews v WHERE v.import = i.number),
           (SELECT coalesce(sum(o.accepted), 0)::bigint FROM imports o
             WHERE o.alone AND o.env = i.env AND o.org = i.org AND o.operator = i.operator
               AND o.release_ms > extract(epoch FROM clock_timestamp()) * 1000 - 86400000),
           (SELECT count(*) FROM hosts),
           (SELECT count(*) FROM hosts h JOIN import_staged s USING (inc)
             WHERE s.import = i.number AND s.digest = i.digest)
      FROM imports i
"""
GET = Statement(
    f"{_SELECT} WHERE i.id = %(id)s AND i.env = %(env)s AND i.org = %(org)s",
    lambda rows: Import(*rows[0]) if rows else None,
)
_HOLD = Statement(
    f"{_SELECT} WHERE i.id = %(id)s AND i.env = %(env)s AND i.org = %(org)s FOR UPDATE OF i",
    lambda rows: Import(*rows[0]) if rows else None,
    writes=True,
)
# One at a time for each organisation: two releases at once must not both find room under the limit.
_TURN = Statement(
    "SELECT pg_advisory_xact_lock(hashtextextended('lostid.imports.' || %(env)s || '.' || %(org)s, 0))", nothing
)
_INSERT = Statement(
    """
    INSERT INTO imports (id, seq, env, org, station, operator, key_id, source, dry_run, declared, created_ms)
    VALUES (%(id)s, %(seq)s, %(env)s, %(org)s, %(station)s, %(operator)s, %(key_id)s, %(source)s, %(dry_run)s,
            %(declared)s, %(created_ms)s)
    """,
    nothing,
    writes=True,
)
_RELEASE = Statement(
    """
    UPDATE imports SET state = 'released', release_seq = %(seq)s, released_by = %(by)s, alone = %(alone)s,
                       release_ms = floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint
     WHERE number = %(number)s
    """,
    nothing,
    writes=True,
)
_WITHDRAW = Statement(
    """
    WITH withdrawn AS (
        UPDATE imports SET state = 'withdrawn', withdrawn_by = %(by)s WHERE number = %(number)s
        RETURNING number, release_seq
    )
    INSERT INTO import_turns (import, seq, action)
    SELECT number, %(seq)s, 3 FROM withdrawn WHERE release_seq IS NOT NULL
    """,
    nothing,
    writes=True,
)
# Only of what one person put in force alone: that is not much.
_DEATHS = Statement(
    "SELECT rows FROM import_parts WHERE import = %(number)s",
    lambda rows: any("deceased" in staged.reasons_in(part) for (part,) in rows),
    writes=True,
)
_ASKED = Statement(
    """
    UPDATE imports SET asked_by = %(by)s || jsonb_build_object(
           'at_ms', floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint)
     WHERE number = %(number)s
    """,
    nothing,
    writes=True,
)
REJECTIONS = Statement(
    """
    SELECT line, code, field FROM import_rejections
     WHERE import = %(number)s AND line > %(after)s ORDER BY line LIMIT %(limit)s
    """,
    lambda rows: [(int(line), str(code), field) for line, code, field in rows],
)


async def get(conn: AsyncConn, env: str, org: str, id_: str) -> Import | None:
    """None also for another organisation's or environment's import."""
    return await GET.arun(conn, {"id": id_, "env": env, "org": org})


async def open_(conn: AsyncConn, write: WriteKey, new: NewImport) -> Outcome:
    async with committing(conn):
        found = await writes.begin(conn, write)
        if not isinstance(found, New):
            return found
        by = who(new.by)
        facts = {**by, "source": new.source, "dry_run": new.dry_run}
        appended = await entries.append(conn, Draft("import.opened", new.id, facts))
        row = {**by, "id": new.id, "seq": appended.seq, "source": new.source, "dry_run": new.dry_run}
        await _INSERT.arun(conn, {**row, "declared": new.declared, "created_ms": new.now_ms})
        return await writes.use(conn, write, appended)


async def release(conn: AsyncConn, write: WriteKey, id_: str, actor: Actor) -> Outcome | Denied:
    """Its rows are in force from this entry on."""
    async with committing(conn):
        await _TURN.arun(conn, {"env": actor.env, "org": actor.org})
        held = await _held(conn, write, id_, actor)
        if not isinstance(held, Import):
            return held
        try:
            alone = rules.may_release(held.imported, actor)
        except Denied as denied:
            return denied
        facts = {**who(actor), "rows": held.accepted, "alone": alone, **held.flip()}
        appended = await entries.append(conn, Draft(entries.RELEASED, id_, facts))
        by = Jsonb(who(actor))
        await _RELEASE.arun(conn, {"number": held.number, "seq": appended.seq, "alone": alone, "by": by})
        return await writes.use(conn, write, appended)


async def withdraw(
    conn: AsyncConn, write: WriteKey, id_: str, actor: Actor, why: Mapping[str, str] | None = None
) -> Outcome | Denied:
    """Taken back, or asked for: the row says which. `why`: more facts for the entry."""
    async with committing(conn):
        held = await _held(conn, write, id_, actor)
        if not isinstance(held, Import):
            return held
        deaths = held.alone and await _DEATHS.arun(conn, {"number": held.number})
        try:
            at_once = rules.may_withdraw(replace(held.imported, deaths=deaths), actor)
        except Denied as denied:
            return denied
        facts, by = {**(why or {}), **who(actor), "rows": held.accepted}, Jsonb(who(actor))
        if not at_once:
            await _ASKED.arun(conn, {"number": held.number, "by": by})
            asked = await entries.append(conn, Draft("import.withdrawal.requested", id_, facts))
            return await writes.use(conn, write, asked)
        if held.release_seq is not None:
            facts |= held.flip()
        appended = await entries.append(conn, Draft(entries.WITHDRAWN, id_, facts))
        await _WITHDRAW.arun(conn, {"number": held.number, "seq": appended.seq, "by": by})
        return await writes.use(conn, write, appended)


async def _held(conn: AsyncConn, write: WriteKey, id_: str, actor: Actor) -> Import | Outcome | Denied:
    """The import, locked before the head is; or what became of this write before."""
    found = await writes.begin(conn, write)
    if not isinstance(found, New):
        return found
    held = await _HOLD.arun(conn, {"id": id_, "env": actor.env, "org": actor.org})
    return Denied("not_found") if held is None else held
