"""What is sent and answered on each route: one line of a table. Tests hold it to the routes and to real answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from lostid.api import models
from lostid.api.imports import MAX_REJECTIONS
from lostid.api.mirror import MOST_WAIT_S, NONCE, SHA256
from lostid.domain.withdrawal import STATES

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
_PAGE: dict[str, dict[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": models.MAX_PAGE, "default": 50},
    "cursor": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,128}$"},
}
_READ = (400, 401, 403, 413, 415, 422, 503)


@dataclass(frozen=True, slots=True)
class Operation:
    """What stands in openapi.json of one route beside its path."""

    summary: str
    answer: str | None
    role: str | None
    body: type[BaseModel] | None = None
    success: int = 200
    problems: tuple[int, ...] = (401, 403, 422, 503)
    write: bool = False
    streams: tuple[str, ...] = ()
    media: str = "application/json"
    unready: bool = False
    query: Mapping[str, dict[str, Any]] | None = None
    may_write: int | None = None
    """The status where the body makes a write of it, which then takes an Idempotency-Key."""


def _decision(summary: str) -> Operation:
    return Operation(
        summary,
        "WithdrawalDecided",
        "approver or supervisor",
        models.WithdrawalDecision,
        problems=(*_READ, 404, 409),
        write=True,
    )


def _act_on_import(summary: str, body: type[models.ImportAct]) -> Operation:
    return Operation(summary, "ImportState", "importer or approver", body, 202, (*_READ, 404, 409), write=True)


OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("post", "/v1/checks"): Operation(
        "Check one document", "CheckAnswer", "checker", models.CheckRequest, problems=(*_READ, 429)
    ),
    ("post", "/v1/checks/batch"): Operation(
        "Check up to 1,000 documents", "BatchAnswer", "checker", models.BatchRequest, problems=(*_READ, 429)
    ),
    ("post", "/v1/reports"): Operation(
        "Report a card", "ReportReceipt", "reporter", models.ReportRequest, 201, (*_READ, 409), write=True
    ),
    ("get", "/v1/reports/{report_id}"): Operation(
        "One of the organisation's own reports", "Report", "reporter", problems=(401, 403, 404, 422, 503)
    ),
    ("post", "/v1/reports/search"): Operation(
        "Reports on a document, or the organisation's own under a case number",
        "ReportList",
        "reporter",
        models.SearchRequest,
        problems=_READ,
    ),
    ("post", "/v1/reports/history"): Operation(
        "Every entry of a document, oldest first", "EntryList", "reporter", models.HistoryRequest, problems=_READ
    ),
    ("get", "/v1/log/checkpoint"): Operation(
        "The signed head of the log (C2SP tlog-checkpoint)", None, "auditor", media="text/plain; charset=utf-8"
    ),
    ("get", "/v1/log/tile/{path}"): Operation(
        "A tile of hashes, or a bundle of entries (C2SP tlog-tiles)",
        None,
        "auditor",
        problems=(401, 403, 404, 422, 503),
        media="application/octet-stream",
    ),
    ("get", "/v1/log/entries/{seq}/proof"): Operation(
        "That an entry is in the log", "InclusionProof", "auditor", problems=(401, 403, 404, 422, 503)
    ),
    ("get", "/v1/log/openings"): Operation(
        "Entries with the salts that tie them to their leaves", "Openings", "auditor", problems=(401, 403, 422, 503)
    ),
    ("get", "/v1/log/imports/{number}"): Operation(
        "Rows of a released import, a part at a time, as the digest in its entry covers them",
        "ImportParts",
        "auditor",
        query={"after": {"type": "integer", "minimum": 0}},
        problems=(401, 403, 404, 422, 503),
    ),
    ("post", "/v1/log/records"): Operation(
        "What this host answers for document keys, by the way of every check",
        "Records",
        "auditor",
        models.RecordsRequest,
        problems=_READ,
    ),
    ("get", "/.well-known/jwks.json"): Operation(
        "The keys that verify receipts, past ones included", "KeySet", None, problems=(422, 503)
    ),
    ("post", "/v1/checks/as-of"): Operation(
        "What a check was told at an instant, and what is known of that instant now",
        "AsOfAnswer",
        "reporter or auditor",
        models.AsOfRequest,
        problems=_READ,
    ),
    ("post", "/v1/reports/{report_id}/withdrawal"): Operation(
        "Ask that a report loses its effect; another person has 24 hours to agree",
        "WithdrawalPending",
        "reporter or supervisor",
        models.WithdrawalRequest,
        202,
        (*_READ, 404, 409),
        write=True,
    ),
    ("get", "/v1/withdrawals"): Operation(
        "Withdrawals, oldest first",
        "WithdrawalList",
        "reporter, approver or supervisor",
        query={"state": {"type": "string", "enum": list(STATES)}, **_PAGE},
    ),
    ("get", "/v1/withdrawals/{withdrawal_id}"): Operation(
        "One withdrawal", "Withdrawal", "reporter, approver or supervisor", problems=(401, 403, 404, 422, 503)
    ),
    ("post", "/v1/withdrawals/{withdrawal_id}/approve"): _decision(
        "Agree: the answer leaves when the report has lost its effect everywhere"
    ),
    ("post", "/v1/withdrawals/{withdrawal_id}/refuse"): _decision("Disagree: the report stays in force"),
    ("get", "/v1/sandbox/scenarios"): Operation(
        "The sandbox's magic numbers", "Scenarios", "any", problems=(401, 403, 404, 422, 503)
    ),
    ("post", "/v1/imports"): Operation(
        "Open an import", "ImportOpened", "importer", models.ImportRequest, 201, (*_READ, 409), write=True
    ),
    ("put", "/v1/imports/{import_id}/rows"): Operation(
        "Send the rows, of any size; after a break again from the beginning: every line counts once",
        "Import",
        "importer",
        success=202,
        problems=(401, 403, 404, 415, 422, 503),
        streams=("text/csv; charset=utf-8", "text/csv; charset=gb18030", "application/x-ndjson"),
    ),
    ("get", "/v1/imports/{import_id}"): Operation(
        "State, counts and progress of an import", "Import", "importer or approver", problems=(401, 403, 404, 422, 503)
    ),
    ("get", "/v1/imports/{import_id}/rejections"): Operation(
        "The lines that were rejected, and why",
        "RejectionList",
        "importer or approver",
        problems=(401, 403, 404, 422, 503),
        query={
            "limit": {"type": "integer", "minimum": 1, "maximum": MAX_REJECTIONS, "default": 200},
            "cursor": {"type": "string"},
        },
    ),
    ("post", "/v1/imports/{import_id}/release"): _act_on_import(
        "Put an import in force; above 10,000 rows by another person than its importer", models.ImportAct
    ),
    ("post", "/v1/imports/{import_id}/withdrawal"): _act_on_import(
        "Take a whole import back; what two people put in force takes two", models.ImportWithdrawal
    ),
    ("post", "/v1/operators/{name}/rewind"): Operation(
        "What an operator did since then; with dry_run false a second supervisor is asked to take it back (202)",
        "Rewind",
        "supervisor",
        models.RewindRequest,
        problems=(*_READ, 404, 409),
        may_write=202,
    ),
    ("get", "/v1/mirror/snapshot"): Operation(
        "A filter for checks in the caller's own process: a signed line (compact JWS), then the bits; of those that "
        "`sha256` names, the ones after the first `from` bytes",
        None,
        "mirror",
        media="application/octet-stream",
        query={
            "from": {"type": "integer", "minimum": 0, "default": 0},
            "sha256": {"type": "string", "pattern": SHA256},
        },
    ),
    ("get", "/v1/mirror/changes"): Operation(
        "What came after entry `since`, with a signed statement of how far and when; `wait` in seconds",
        "MirrorChanges",
        "mirror",
        query={
            "since": {"type": "integer", "minimum": 0},
            "nonce": {"type": "string", "pattern": NONCE},
            "wait": {"type": "integer", "minimum": 0, "maximum": MOST_WAIT_S, "default": 0},
        },
    ),
    ("get", "/livez"): Operation("The loop turns", "Alive", None, problems=()),
    ("get", "/readyz"): Operation(
        "Whether this host answers, and what it is doing", "Readiness", None, problems=(), unready=True
    ),
    ("get", "/metrics"): Operation(
        "Prometheus metrics of this host", None, "admin", problems=(401, 403, 503), media=PROMETHEUS
    ),
    ("get", "/v1/status"): Operation(
        "How far the ledger and its hosts are", "Status", "admin", problems=(401, 403, 503)
    ),
}
