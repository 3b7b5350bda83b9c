"""The report of a card, from what was sent to the receipt: REPORT of design section 5. FENCE, ANSWER: `writing`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import MISSING

from lostid.api import meters
from lostid.api.admission import Sent
from lostid.api.clock import Clock, now_ms, parse_instant_or_date
from lostid.api.models import Document, ReportRequest, given
from lostid.api.parts import Parts
from lostid.api.problems import Fault, Problem
from lostid.api.writing import Proved, Receipt, prove, to_its_end
from lostid.domain.canonical import Canonical, canonicalise
from lostid.domain.covers import Effect
from lostid.domain.decide import ReportDecision, decide_report, effects_on
from lostid.domain.errors import Refusal
from lostid.domain.instance import instance_of
from lostid.domain.keys import Keyring
from lostid.filter.page import boottime_ns
from lostid.ledger import reports, writes
from lostid.ledger.apikeys import ApiKey
from lostid.ledger.entries import Appended, Draft
from lostid.ledger.errors import LedgerError
from lostid.ledger.reports import NewReport
from lostid.ledger.writes import InForce, WriteKey
from lostid.replication.fence_wait import Visibility

CREATED = 201
_NONCE_BYTES = 12


async def report(parts: Parts, key: ApiKey, asked: Sent[ReportRequest], idempotency_key: str) -> Receipt:
    """Put a report in force. Raises Problem, LedgerError (nothing is known to be recorded)."""
    began = boottime_ns()
    id_, at_ms = parts.ids.new("rpt_", now_ms()), now_ms()
    draft = decide(parts.keyring, parts.clock, key, asked.body, id_, at_ms)
    authorise(key, asked.body)  # behind every 422, as the contract orders them
    notices = read_number(asked.body.document, parts.clock, at_ms).notices
    write = writes.write_key(parts.keyring.fingerprint_key, key.env, key.org, idempotency_key, asked.canonical)
    with parts.report_room.place():
        receipt = await to_its_end(_record_and_prove(parts, key, write, draft, notices))
    if not receipt.replayed:
        parts.meters.add(meters.REASON_WORD[asked.body.reason])
        parts.meters.took(meters.RECEIPT_TIME, boottime_ns() - began)
    return receipt


def authorise(key: ApiKey, asked: ReportRequest) -> None:
    if key.operator != asked.operator:
        raise Problem("operator_mismatch")
    if key.reasons and asked.reason not in key.reasons:
        raise Problem("reason_not_allowed")


def decide(keyring: Keyring, clock: Clock, key: ApiKey, asked: ReportRequest, id_: str, at_ms: int) -> Draft:
    """The entry: every cover is fixed here, once. Raises Problem invalid."""
    try:
        documents, covers = _decided(asked, clock, at_ms)
    except Refusal as refusal:
        raise Problem("invalid", [Fault(refusal.within("/document"), refusal.code, refusal.expected)]) from None
    effects: list[Effect] = []
    sealed: dict[bytes, bytes] = {}
    for document, decision in documents:
        token = keyring.token(key.env, document)
        document_key = keyring.key_of_token(token)
        sealed[document_key] = keyring.seal(document_key, token, os.urandom(_NONCE_BYTES))
        effects += effects_on(
            decision, key=document_key, tag_key=keyring.record_tag_key, seq=0, report_id=id_, ordinal=len(effects)
        )
    new = NewReport(
        id=id_,
        env=key.env,
        org=key.org,
        station=key.station or "",
        operator=asked.operator,
        key_id=key.id,
        type=documents[0][0].type,
        case_number=asked.case_number,
        reason=asked.reason,
        effective_ms=documents[0][1].cover.effective_at_ms,
        covers=covers,
    )
    return new.draft(effects, sealed)


Decided = tuple[tuple[tuple[Canonical, ReportDecision], ...], Mapping[str, object]]


def _decided(asked: ReportRequest, clock: Clock, at_ms: int) -> Decided:
    today = clock.today(at_ms)
    document = read_number(asked.document, clock, at_ms)
    aliases = [] if asked.also_known_as is MISSING else asked.also_known_as
    known_as = []
    for place, alias in enumerate(aliases):
        state = None if alias.issuing_state is MISSING else alias.issuing_state
        try:
            known_as.append(canonicalise(alias.type, alias.number, state, today))
        except Refusal as refusal:
            pointer = refusal.within(f"/also_known_as/{place}")
            raise Problem("invalid", [Fault(pointer, refusal.code, refusal.expected)]) from None
    effective_at = None
    if asked.effective_at is not MISSING:
        effective_at = parse_instant_or_date(asked.effective_at)
        if effective_at is None:
            raise Problem("invalid", [Fault("/effective_at", "value_invalid")])
    return decide_report(
        document,
        instance_of(given(asked.document), document, today),
        known_as,
        reason=asked.reason,
        effective_at=effective_at,
        replaced_by=None if asked.replaced_by is MISSING else given(asked.replaced_by),
        zone=clock.zone,
        today=today,
        now_ms=at_ms,
    )


def read_number(document: Document, clock: Clock, at_ms: int) -> Canonical:
    """Raises Refusal."""
    state = None if document.issuing_state is MISSING else document.issuing_state
    return canonicalise(document.type, document.number, state, clock.today(at_ms))


async def _record_and_prove(
    parts: Parts, key: ApiKey, write: WriteKey, draft: Draft, notices: tuple[str, ...]
) -> Receipt:
    # REPORT: the write, the entry, its effects and the report, in one transaction; or what became of it before.
    outcome = await parts.reports_pool.write(lambda conn: writes.record(conn, write, draft))

    async def answer(proved: Proved) -> tuple[bytes, InForce]:
        covers = draft.facts["covers"] if proved.new else await _covers_of(parts, key, proved.id)
        told, in_force = answer_of(parts.clock, proved.id, proved.appended, covers, proved.visibility, now_ms())
        if notices:
            told["notices"] = notices
        facts = draft.facts  # a repeat has the same body, or it would not have come this far
        hash_ = proved.appended.hash
        signed = parts.checks.signer.report(key, told, hash_, facts["case_number"], facts["reason"])
        return _written(told if signed is None else {**told, "receipt": signed}), in_force

    return await prove(parts, write, draft.id, outcome, CREATED, answer)


async def _covers_of(parts: Parts, key: ApiKey, id_: str) -> Mapping[str, Any]:
    """For a report that was recorded by a request that did not live to answer."""
    found = await parts.reports_pool.read(lambda conn: reports.get(conn, key.env, key.org, id_))
    if found is None:
        raise LedgerError("a recorded report has no row")
    return found.covers


def answer_of(
    clock: Clock, id_: str, appended: Appended, covers: Mapping[str, Any], visibility: Visibility, at_ms: int
) -> tuple[dict[str, Any], InForce]:
    """The answer, before it is signed."""
    seen = asdict(visibility)
    in_force_ms = max(at_ms, appended.recorded_ms)
    told = {
        "id": id_,
        "seq": appended.seq,
        "state": "in_force",
        "covers": covers,
        "recorded_at": clock.text(appended.recorded_ms),
        "in_force_at": clock.text(in_force_ms),
        "visibility": seen,
    }
    return told, InForce(in_force_ms, seen)


def _written(told: Mapping[str, Any]) -> bytes:
    return json.dumps(told, separators=(",", ":")).encode()
