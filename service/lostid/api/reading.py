"""Search and history: what the registry tells reporters. Each is rationed, and journalled before it is answered."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from pydantic import MISSING

from lostid.api.clock import Clock, ms_of, now_ms, parse_instant
from lostid.api.models import AsOfRequest, Document, HistoryRequest, SearchRequest, given
from lostid.api.parts import Parts
from lostid.api.problems import Fault, Problem
from lostid.api.reporting import read_number
from lostid.domain.errors import Refusal
from lostid.domain.instance import instance_of
from lostid.ledger import entries, lookups, reports
from lostid.ledger.apikeys import ApiKey
from lostid.ledger.entries import Entry
from lostid.ledger.lines import Line
from lostid.ledger.reports import Place, Report


async def search(parts: Parts, key: ApiKey, asked: SearchRequest) -> dict[str, Any]:
    """Reports on a document, whoever made them; or the organisation's own under the case number."""
    since_ms = _since_ms(asked)
    after, limit = place_of(asked.cursor), asked.limit
    document_key = None if asked.document is MISSING else _document_key(parts, key, asked.document)
    authorise(key, asked.operator)
    with parts.read_room.place():
        await ration(parts, key, asked, document_key, "search")
        if document_key is None:
            found = await parts.reads_pool.read(
                lambda conn: reports.by_case(conn, key.env, key.org, asked.case_number, since_ms, after, limit)
            )
        else:
            found = await parts.reads_pool.read(
                lambda conn: reports.by_document(conn, key.env, document_key, after, limit)
            )
    more = len(found) == limit
    shown = [report_json(parts.clock, report, key) for report in found if report.recorded_ms >= since_ms]
    return listed("reports", shown, cursor_of(Place(found[-1].seq, found[-1].id)) if more else None)


async def history(parts: Parts, key: ApiKey, asked: HistoryRequest) -> dict[str, Any]:
    """Every entry of a document, oldest first."""
    after, limit = place_of(asked.cursor), asked.limit
    document_key = _document_key(parts, key, asked.document)
    authorise(key, asked.operator)
    with parts.read_room.place():
        await ration(parts, key, asked, document_key, "history")
        found = await parts.reads_pool.read(lambda conn: entries.of_document(conn, document_key, after.seq, limit))
    shown = [entry_json(parts.clock, entry, key) for entry in found]
    return listed("entries", shown, cursor_of(Place(found[-1].seq, found[-1].id)) if len(found) == limit else None)


async def own_report(parts: Parts, key: ApiKey, id_: str) -> dict[str, Any]:
    with parts.read_room.place():
        found = await parts.reads_pool.read(lambda conn: reports.get(conn, key.env, key.org, id_))
    if found is None:
        raise Problem("not_found")
    return report_json(parts.clock, found, key)


def report_json(clock: Clock, report: Report, key: ApiKey) -> dict[str, Any]:
    """Never the number. Another organisation's report says what is in force, not who worked on which case."""
    told: dict[str, Any] = {
        "id": report.id,
        "seq": report.seq,
        "state": report.state,
        "type": report.type,
        "reason": report.reason,
        "effective_at": clock.text(report.effective_ms),
        "covers": report.covers,
        "org": report.org,
        "recorded_at": clock.text(report.recorded_ms),
    }
    if report.in_force_ms is not None:
        told["in_force_at"] = clock.text(report.in_force_ms)
    if report.visibility is not None:
        told["visibility"] = report.visibility
    if report.review_seq is not None:
        told["review"] = True
    if report.org == key.org:
        told |= {"station": report.station, "operator": report.operator, "case_number": report.case_number}
    return told


_TOLD = ("type", "reason", "covers", "grounds", "act", "code", "report_id", "withdrawal_id", "org")
_TOLD_AT_HOME = ("station", "operator", "case_number")


def entry_json(clock: Clock, entry: Entry, key: ApiKey) -> dict[str, Any]:
    facts = entry.facts
    names = _TOLD + _TOLD_AT_HOME if facts.get("org") == key.org else _TOLD
    told: dict[str, Any] = {"seq": entry.seq, "kind": entry.kind, "id": entry.id}
    told["recorded_at"] = clock.text(entry.recorded_ms)
    if "effective_ms" in facts:
        told["effective_at"] = clock.text(facts["effective_ms"])
    return told | {name: facts[name] for name in names if name in facts}


def authorise(key: ApiKey, operator: str) -> None:
    if key.operator is not None and key.operator != operator:
        raise Problem("operator_mismatch")


def _document_key(parts: Parts, key: ApiKey, document: Document) -> bytes:
    """Of all cards of the number. An instance that cannot be is refused all the same: the caller means something."""
    at_ms = now_ms()
    try:
        canonical = read_number(document, parts.clock, at_ms)
        instance_of(given(document), canonical, parts.clock.today(at_ms))
        return parts.keyring.key(key.env, canonical)
    except Refusal as refusal:
        raise Problem("invalid", [Fault(refusal.within("/document"), refusal.code, refusal.expected)]) from None


async def ration(
    parts: Parts,
    key: ApiKey,
    asked: SearchRequest | HistoryRequest | AsOfRequest,
    document_key: bytes | None,
    purpose: str,
) -> None:
    """Journalled before it is answered. Raises Problem cap_reached."""
    at_ms = now_ms()
    id_ = parts.ids.new("chk_", at_ms)
    line = Line(at_ms, id_, 0, document_key, key.id, key.org, asked.operator, purpose, asked.case_number, "read", 0)
    day = parts.clock.today(at_ms)
    if not await parts.reads_pool.write(
        lambda conn: lookups.take(conn, key.env, day, [line], parts.settings.daily_lookups)
    ):
        raise Problem("cap_reached")


def _since_ms(asked: SearchRequest) -> int:
    if asked.recorded_since is MISSING:
        return 0
    since = parse_instant(asked.recorded_since)
    if since is None:
        raise Problem("invalid", [Fault("/recorded_since", "value_invalid")])
    return max(0, ms_of(since))


def listed(name: str, shown: list[dict[str, Any]], cursor: str | None) -> dict[str, Any]:
    """A page of a list. `next_cursor` is there on the last page too, as null: a caller's loop may rely on it."""
    return {name: shown, "next_cursor": cursor}


def cursor_of(place: Place) -> str:
    return base64.urlsafe_b64encode(f"{place.seq}.{place.id}".encode()).decode().rstrip("=")


def place_of(cursor: Any, pointer: str = "/cursor") -> Place:
    if cursor is MISSING or cursor is None:
        return reports.START
    try:
        seq, _, id_ = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii").partition(".")
        place = Place(int(seq), id_)
    except (ValueError, binascii.Error):
        raise Problem("invalid", [Fault(pointer, "value_invalid")]) from None
    if not 0 <= place.seq < 1 << 63 or "\0" in id_:  # what the ledger's types cannot hold
        raise Problem("invalid", [Fault(pointer, "value_invalid")])
    return place
