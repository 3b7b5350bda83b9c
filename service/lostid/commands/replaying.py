"""The part of `lostid log verify` that an auditor's key opens: entries replayed, and compared with the answers."""

from __future__ import annotations

import json
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from lostid.log.replaying import Replay, answered
from lostid.log.verifying import Finding, Verified

if TYPE_CHECKING:
    from lostid.ledger.tree import Opening

KEYS_AT_ONCE: Final = 500
TRIES: Final = 5
PAUSE_S: Final = 1.0
"""A record that an entry has just changed differs until the log, which grows once a second, has that entry as well."""

Get = Callable[[str], bytes]
Post = Callable[[str, dict[str, Any]], Any]


@dataclass
class Compared:
    """How many records were compared, those of imports included, and what was wrong. ``unopened``, ``imports``: see
    `Replay`."""

    records: int = 0
    unopened: int = 0
    imports: int = 0
    findings: list[Finding] = field(default_factory=list)


def compare(
    get: Get, post: Post, verify: Callable[[], Verified], verified: Verified, pause_s: float = PAUSE_S
) -> Compared:
    """All records, against the entries of a verified log; those that differ once more, with the log as it is then.

    ``pause_s``: seconds between two tries.
    """
    replay, compared = Replay(partial(_parts, get)), Compared()
    pending: list[bytes] | None = None
    for _ in range(TRIES):
        compared.findings = _replayed(get, replay, verified)
        if compared.findings:
            break
        asked = replay.keys if pending is None else pending
        if pending is None:
            compared.records = len(asked)
        compared.findings = list(_differing(post, replay, asked))
        pending = [bytes.fromhex(finding.where) for finding in compared.findings]
        if not pending:
            break
        time.sleep(pause_s)
        verified = verify()
        if not verified.good:
            return Compared(findings=list(verified.findings))
    compared.unopened, compared.imports = replay.unopened, replay.imports
    return compared


def _replayed(get: Get, replay: Replay, verified: Verified) -> list[Finding]:
    """Take in all entries of the verified log."""
    size = len(verified.leaves)
    while replay.seq < size:
        page = list(_openings(get(f"/v1/log/openings?after={replay.seq}")))
        if not page:
            return [Finding("opening_missing", f"entry {replay.seq + 1}")]
        for opening in page:
            if opening.seq > size:
                break
            finding = replay.take(opening, verified.leaves)
            if finding is not None:
                return [finding]
    return []


def _openings(said: bytes) -> Iterator[Opening]:
    from lostid.ledger.tree import Opening

    for one in json.loads(said)["openings"]:
        salt = None if one["salt"] is None else bytes.fromhex(one["salt"])
        yield Opening(one["seq"], bytes.fromhex(one["prev"]), one["recorded_ms"], one["body"].encode(), salt)


def _parts(get: Get, number: int) -> Iterator[tuple[int, bytes]]:
    """Of an import, as the registry tells them: whether they are the right ones is for `Replay` to say."""
    after = ""
    while page := json.loads(get(f"/v1/log/imports/{number}{after}"))["parts"]:
        for one in page:
            yield int(one["part"]), b64decode(one["rows"], validate=True)
        after = f"?after={int(page[-1]['part'])}"


def _differing(post: Post, replay: Replay, keys: list[bytes]) -> Iterator[Finding]:
    """Of each record that is not as the entries say, its document key."""
    for at in range(0, len(keys), KEYS_AT_ONCE):
        part = keys[at : at + KEYS_AT_ONCE]
        told = post("/v1/log/records", {"keys": [key.hex() for key in part]})["records"]
        for key, record in zip(part, told, strict=True):
            if record["key"] != key.hex() or replay.differs(key, answered(record["covers"])):
                in_filter = record["in_filter"] or not replay.in_force(key)
                yield Finding("record_differs" if in_filter else "filter_lacks", key.hex())
