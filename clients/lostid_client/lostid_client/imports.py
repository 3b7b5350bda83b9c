"""Imports as flows: a file of reports, sent whole, sent again after a break, and put in force by a release."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from lostid_client.calls import Session
from lostid_client.errors import ImportBroken, Refused, refusal
from lostid_client.flow import (
    Flow,
    LineBroken,
    Pause,
    Reply,
    Send,
    Upload,
    code_of,
    jitter,
    may_retry,
    read_flow,
    retry_after,
    write_flow,
)

SILENCE_S = 600.0
"""The longest silence while rows are sent: the server stages the last ones before it answers."""

ATTEMPTS = 5
_MEDIA = {".ndjson": "application/x-ndjson", ".jsonl": "application/x-ndjson"}
_CSV = "text/csv; charset=utf-8"
_STILL_HELD = "import_not_ready"
_SLOWER = 10.0


@dataclass(frozen=True, slots=True)
class Import:
    """Where an import is. ``counts``: lines, accepted, rejected, in_force."""

    id: str
    state: str
    counts: Mapping[str, int]
    raw: Mapping[str, Any] = field(repr=False, compare=False)


def import_file(
    session: Session,
    path: str | PathLike[str],
    *,
    operator: str,
    source: str,
    dry_run: bool = False,
    media: str | None = None,
    sha256: str | None = None,
    import_id: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    idempotency_key: str | None = None,
) -> Flow[Import]:
    """Send a file of reports (CSV or NDJSON, of any size). Nothing is in force before the import is released.

    The file is read while it is sent. After a break it is sent again from the beginning, up to five times in all: each
    line counts once. With ``import_id`` an import that broke off goes on, also in another process.

    Args:
        media: ``text/csv; charset=utf-8`` or ``gb18030``, or ``application/x-ndjson``; by default what the name says.
        sha256: hex; where it is given, the registry refuses a file that arrives as another one.
        progress: hears (bytes sent, bytes in all); begins again with each attempt.

    Raises:
        ImportBroken: the line broke too often; its ``import_id`` goes on where this ended.
        Refused: the file's header is wrong, or not allowed.
    """
    file = Path(path)
    if import_id is None:
        body: dict[str, Any] = {"operator": operator, "source": source, "dry_run": dry_run}
        if sha256 is not None:
            body["sha256"] = sha256
        key = idempotency_key or secrets.token_urlsafe(24)
        opened = yield from write_flow("/v1/imports", body, key, session.clock, session.budget)
        import_id = str(opened.body["id"])
    upload = Upload(file, media or _MEDIA.get(file.suffix.lower(), _CSV), progress)
    return _read((yield from _send_rows(import_id, upload)).body)


def import_status(session: Session, import_id: str) -> Flow[Import]:
    """Where an import is: its state and counts.

    Raises:
        Refused: there is none of this id, or not allowed.
        NoAnswer: no reply in time.
    """
    return _read((yield from read_flow("GET", f"/v1/imports/{import_id}", None, None, session.clock)).body)


def release_import(
    session: Session, import_id: str, *, operator: str, idempotency_key: str | None = None
) -> Flow[Import]:
    """Put an import in force, all of its rows at once. Above 10,000 rows by somebody else.

    Raises:
        Refused: same person, or not ready.
        UnknownOutcome: repeat the call with the key that the exception carries.
        NoAnswer: nothing was released; try again later.
    """
    key, path = idempotency_key or secrets.token_urlsafe(24), f"/v1/imports/{import_id}/release"
    yield from write_flow(path, {"operator": operator}, key, session.clock, session.budget)
    return (yield from import_status(session, import_id))


def _send_rows(import_id: str, upload: Upload) -> Flow[Reply]:
    cause = ""
    for attempt in range(1, ATTEMPTS + 1):
        wait: float | None = None
        try:
            reply = yield Send("PUT", f"/v1/imports/{import_id}/rows", None, {}, SILENCE_S, None, upload)
            assert reply is not None  # noqa: S101 -- the drivers' contract: a Send is answered by a Reply
            if reply.status < 300:
                return reply
            cause, wait = code_of(reply), retry_after(reply)
            refused = refusal(reply.status, reply.body)
            if not may_retry(reply.status) and not (attempt > 1 and _still_held(refused)):
                raise refused
        except LineBroken as broken:
            cause = broken.cause
        if attempt < ATTEMPTS:
            yield Pause(jitter() * _SLOWER * attempt if wait is None else wait)
    raise ImportBroken(import_id, cause)


def _still_held(refused: Refused) -> bool:
    """The server has not noticed yet that the sending before this one broke."""
    return any(fault.code == _STILL_HELD for fault in refused.faults)


def _read(body: Mapping[str, Any]) -> Import:
    return Import(str(body["id"]), str(body.get("state", "unknown")), dict(body.get("counts") or {}), body)
