"""Asking for a withdrawal and deciding it: each one transaction, under the lock on the ledger's head.

    hold the head; read the facts; decide (domain.withdrawal); append; the rows; commit

Who is refused leaves a line in the ledger as well (`withdrawal.attempt`): by whom, at what, with which code.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from lostid.domain import withdrawal as rules
from lostid.domain.covers import Action, Effect
from lostid.domain.withdrawal import NEXT, Actor, Caps, Denied, Event
from lostid.ledger import entries, rewound_imports, writes
from lostid.ledger import withdrawals as rows
from lostid.ledger.entries import Appended, Draft
from lostid.ledger.rewinds import Rewind, rewinding
from lostid.ledger.statement import AsyncConn, Statement, committing, nothing
from lostid.ledger.withdrawals import REWIND, WITHDRAWAL, NewRow, Withdrawal
from lostid.ledger.writes import New, Outcome, Recorded, WriteKey

ATTEMPTS_AN_HOUR: Final = 30
_KINDS: Final = {Event.APPROVE: "approved", Event.REFUSE: "refused"}

_COUNT = Statement(
    "SELECT count(*) FROM attempts WHERE key_id = %(key_id)s AND at_ms > %(now)s::bigint - 3600000",
    lambda found: int(found[0][0]),
)
_COUNTED = Statement(
    """
    WITH old AS (DELETE FROM attempts WHERE key_id = %(key_id)s AND at_ms <= %(now)s::bigint - 3600000)
    INSERT INTO attempts (key_id, at_ms, seq) VALUES (%(key_id)s, %(now)s, %(seq)s)
    """,
    nothing,
    writes=True,
)


_STANDS = Statement(
    "SELECT EXISTS (SELECT FROM api_keys WHERE id = %(key_id)s AND revoked_seq IS NULL)",
    lambda found: bool(found[0][0]),
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What somebody tried. The ids are those of the path, where they have the form of one."""

    actor: Actor
    act: str  # request, approve, refuse, rewind
    report_id: str | None = None
    withdrawal_id: str | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    attempt: Attempt
    new_id: str
    grounds: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Decide:
    """`report_id` and `grounds` are what the decider believes to decide on, where that was said."""

    attempt: Attempt
    event: Event
    report_id: str | None = None
    grounds: str | None = None


@dataclass(frozen=True, slots=True)
class AskRewind:
    attempt: Attempt
    new_id: str
    target: str
    since_ms: int
    evidence: str


async def ask(conn: AsyncConn, write: WriteKey, asked: Ask, caps: Caps) -> Outcome | Denied:
    """Put a withdrawal before a second person."""
    actor, report_id = asked.attempt.actor, asked.attempt.report_id
    async with committing(conn):
        found = await writes.begin(conn, write)
        if not isinstance(found, New):
            return found
        now_ms = await entries.hold(conn)
        try:
            await _stands(conn, actor)
            known = None if report_id is None else await rows.reported(conn, report_id)
            if known is None:
                raise Denied("not_found")
            seq, reported = known
            spent = await rows.spent(conn, actor, reported.reason, asked.grounds, now_ms)
            rules.may_ask(reported, asked.grounds, actor, spent, caps)
        except Denied as denied:
            await _note(conn, asked.attempt, denied.code, now_ms)
            return denied
        keys = await rows.doc_keys_of(conn, reported.id, seq)
        facts = {
            **who(actor),
            "report_id": reported.id,
            "grounds": asked.grounds,
            "keys": [key.hex() for key in keys],
            "evidence_sha256": hashlib.sha256(asked.evidence.encode()).hexdigest(),
            "expires_ms": now_ms + rules.WINDOW_MS,
        }
        appended = await entries.append(conn, Draft("withdrawal.requested", asked.new_id, facts))
        apart = rules.counted_apart(reported.reason, asked.grounds)
        new = NewRow(asked.new_id, WITHDRAWAL, asked.grounds, asked.evidence, reported.id, keys, apart)
        await rows.insert(conn, new, actor, appended, now_ms)
        await rows.speaks_of(conn, reported.id, appended)
        return await writes.use(conn, write, appended)


async def ask_rewind(conn: AsyncConn, write: WriteKey, asked: AskRewind) -> Outcome | Denied:
    """Put a rewind before a second supervisor."""
    actor = asked.attempt.actor
    async with committing(conn):
        found = await writes.begin(conn, write)
        if not isinstance(found, New):
            return found
        now_ms = await entries.hold(conn)
        try:
            await _stands(conn, actor)
        except Denied as denied:
            await _note(conn, asked.attempt, denied.code, now_ms)
            return denied
        facts = {
            **who(actor),
            "target": asked.target,
            "since_ms": asked.since_ms,
            "evidence_sha256": hashlib.sha256(asked.evidence.encode()).hexdigest(),
            "expires_ms": now_ms + rules.WINDOW_MS,
        }
        appended = await entries.append(conn, Draft("rewind.requested", asked.new_id, facts))
        target, since_ms = asked.target, asked.since_ms
        new = NewRow(asked.new_id, REWIND, "other", asked.evidence, target=target, since_ms=since_ms)
        await rows.insert(conn, new, actor, appended, now_ms)
        return await writes.use(conn, write, appended)


async def decide(conn: AsyncConn, write: WriteKey, asked: Decide) -> Outcome | Denied:
    """Approve or refuse a withdrawal, or a rewind."""
    actor, id_ = asked.attempt.actor, asked.attempt.withdrawal_id
    async with committing(conn):
        found = await writes.begin(conn, write)
        if not isinstance(found, New):
            return found
        now_ms = await entries.hold(conn)
        pending = None if id_ is None else await rows.get(conn, id_)
        try:
            await _stands(conn, actor)
            if pending is None:
                raise Denied("not_found")
            state = rules.may_decide(pending.asked, asked.event, actor, now_ms)
            if not _meant(asked, pending) or not await _recorded(conn, pending):
                raise Denied("withdrawal_not_pending")
        except Denied as denied:
            noted = await _note(conn, asked.attempt, denied.code, now_ms)
            if pending is not None and denied.event is not None and noted is not None:
                await rows.move(conn, pending.id, NEXT[pending.stored, denied.event], noted)
            return denied
        return await _decided(conn, write, asked, pending, state)


async def _decided(conn: AsyncConn, write: WriteKey, asked: Decide, pending: Withdrawal, state: str) -> Recorded:
    actor, approved = asked.attempt.actor, asked.event is Event.APPROVE
    facts: dict[str, Any] = {**who(actor), "grounds": pending.grounds, "state": state, "request_seq": pending.seq}
    effects: list[Effect] = []
    rewind: Rewind | None = None
    if pending.report_id is not None:
        facts["report_id"] = pending.report_id
        if approved:
            effects = [Effect(key, 0, 0, Action.WITHDRAW, pending.report_id, None) for key in pending.doc_keys]
    elif approved:
        rewind = await rewinding(conn, pending.env, pending.org, pending.target or "", pending.since_ms or 0)
        facts |= rewind.facts()
        effects = rewind.effects()
        await rewound_imports.restore(conn, rewind.taken_back, {**who(actor), "rewind": pending.id})
    draft = Draft(f"{pending.kind}.{_KINDS[asked.event]}", pending.id, facts, effects)
    appended = await entries.append(conn, draft)
    await rows.move(conn, pending.id, state, appended, actor)
    if pending.report_id is not None and not approved:
        await rows.speaks_of(conn, pending.report_id, appended)
    if rewind is not None:
        await rewind.mark(conn, appended)
    return await writes.use(conn, write, appended)


async def attempted(conn: AsyncConn, attempt: Attempt, code: str) -> None:
    """A line for what was refused before the ledger was asked: a role, an operator's name."""
    async with committing(conn):
        now_ms = await entries.hold(conn)
        await _note(conn, attempt, code, now_ms)


async def _recorded(conn: AsyncConn, pending: Withdrawal) -> bool:
    """The entry of the request says what the row says: nobody wrote a request by hand for somebody else to approve."""
    entry = await entries.AT.arun(conn, {"seq": pending.seq})
    if entry is None or entry.kind != f"{pending.kind}.requested" or entry.id != pending.id or not entry.intact():
        return False
    said = who(pending.requester)
    if pending.report_id is None:
        said |= {"target": pending.target, "since_ms": pending.since_ms}
    else:
        keys = [key.hex() for key in pending.doc_keys]
        said |= {"report_id": pending.report_id, "grounds": pending.grounds, "keys": keys}
    in_time = pending.expires_ms <= entry.facts["expires_ms"]
    return in_time and all(entry.facts.get(name) == value for name, value in said.items())


async def _stands(conn: AsyncConn, actor: Actor) -> None:
    """No entry says that a key did something after the entry that ended it. Raises Denied."""
    if not await _STANDS.arun(conn, {"key_id": actor.key_id}):
        raise Denied("key_revoked")


async def _note(conn: AsyncConn, attempt: Attempt, code: str, now_ms: int) -> Appended | None:
    """Ids are written down only where there is such a thing: anything else is the caller's own text."""
    actor = attempt.actor
    seen = await _COUNT.arun(conn, {"key_id": actor.key_id, "now": now_ms})
    if seen >= ATTEMPTS_AN_HOUR:
        return None
    facts: dict[str, Any] = {**who(actor), "act": attempt.act, "code": code}
    report_id = attempt.report_id
    if report_id is not None and await rows.reported(conn, report_id) is None:
        report_id = None
    if attempt.withdrawal_id is not None:
        pending = await rows.get(conn, attempt.withdrawal_id)
        if pending is not None:
            facts["withdrawal_id"], report_id = pending.id, pending.report_id
    if report_id is not None:
        facts["report_id"] = report_id
    if seen + 1 == ATTEMPTS_AN_HOUR:
        facts["last_this_hour"] = True
    id_ = facts.get("withdrawal_id") or report_id or actor.key_id
    appended = await entries.append(conn, Draft("withdrawal.attempt", id_, facts))
    await _COUNTED.arun(conn, {"key_id": actor.key_id, "now": now_ms, "seq": appended.seq})
    if report_id is not None:
        await rows.speaks_of(conn, report_id, appended)
    return appended


def _meant(asked: Decide, pending: Withdrawal) -> bool:
    return (asked.report_id is None or asked.report_id == pending.report_id) and (
        asked.grounds is None or asked.grounds == pending.grounds
    )


def who(actor: Actor) -> dict[str, Any]:
    return {
        "env": actor.env,
        "org": actor.org,
        "station": actor.station,
        "operator": actor.operator,
        "key_id": actor.key_id,
    }
