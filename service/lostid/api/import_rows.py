"""From a line of an import to what is kept of it: its effects by document key, or the code of its rejection.

The same canonicaliser and the same decision as for a report. The number is forgotten as soon as its key is known.
"""

from __future__ import annotations

import os
import re
from hashlib import blake2b
from typing import Any, Final

from lostid.api import ids
from lostid.api.clock import Clock, parse_instant_or_date
from lostid.api.import_lines import REQUIRED, BadLine, Fields, Parse
from lostid.domain.canonical import canonicalise
from lostid.domain.covers import Effect
from lostid.domain.decide import decide_report, effects_on
from lostid.domain.errors import Refusal
from lostid.domain.instance import instance_of
from lostid.domain.keys import Keyring
from lostid.ledger import bodies
from lostid.ledger.apikeys import ApiKey
from lostid.ledger.import_staging import Row

_NONCE_BYTES: Final = 12
_PRINT_BYTES: Final = 16
_EXCEL: Final = re.compile(r"[0-9]+(?:[.,][0-9]+)?[eE]\+[0-9]+").fullmatch
_ISSUE_NO: Final = re.compile(r"[0-9]{1,2}", re.ASCII).fullmatch


class Stager:
    """Reads the lines of one import, as its importer may report."""

    def __init__(self, keyring: Keyring, clock: Clock, key: ApiKey, import_id: str, now_ms: int) -> None:
        self._keyring = keyring
        self._zone = clock.zone
        self._key = key
        self._id = import_id
        self._now_ms = now_ms
        self._today = clock.today(now_ms)
        self._print = blake2b(digest_size=_PRINT_BYTES, key=keyring.fingerprint_key, person=b"lostid.importrow")

    def row(self, line: int, raw: bytes, parse: Parse) -> Row:
        print_ = self._print.copy()
        print_.update(raw.removesuffix(b"\r"))
        try:
            effects, sealed, case_number = self._staged(parse(raw))
        except BadLine as bad:
            return Row(line, print_.digest(), bad.code, bad.field, None, None, None)
        return Row(line, print_.digest(), None, None, effects, sealed, case_number)

    def _staged(self, fields: Fields) -> tuple[str, bytes, str]:
        for name in REQUIRED:
            if name not in fields:
                raise BadLine("field_missing", name)
        case_number, reason = fields["case_number"], fields["reason"]
        if ids.REFERENCE.fullmatch(case_number) is None:
            raise BadLine("value_invalid", "case_number")
        if ids.reads_as_number(case_number):
            raise BadLine("contains_document_number", "case_number")
        if self._key.reasons and reason not in self._key.reasons:
            raise BadLine("reason_not_allowed", "reason")
        try:
            effects, sealed = self._effects(fields, reason)
        except Refusal as refusal:
            field = refusal.pointer.strip("/").replace("/", "_")
            if _EXCEL(str(fields.get(field, ""))):
                raise BadLine("excel_number", field) from None
            raise BadLine(refusal.code, field) from None
        return bodies.written(effects), sealed, case_number

    def _effects(self, fields: Fields, reason: str) -> tuple[list[Effect], bytes]:
        today, keyring, env = self._today, self._keyring, self._key.env
        document = canonicalise(fields["type"], fields["number"], fields.get("issuing_state"), today)
        effective_at = None
        if "effective_at" in fields:
            effective_at = parse_instant_or_date(fields["effective_at"])
            if effective_at is None:
                raise BadLine("value_invalid", "effective_at")
        documents, _ = decide_report(
            document,
            instance_of(_instance(fields, ""), document, today),
            reason=reason,
            effective_at=effective_at,
            replaced_by=_instance(fields, "replaced_by_") or None,
            zone=self._zone,
            today=today,
            now_ms=self._now_ms,
        )
        effects: list[Effect] = []
        sealed: list[bytes] = []
        for covered, decision in documents:
            token = keyring.token(env, covered)
            key = keyring.key_of_token(token)
            sealed += (key, keyring.seal(key, token, os.urandom(_NONCE_BYTES)))
            effects += effects_on(
                decision, key=key, tag_key=keyring.record_tag_key, seq=0, report_id=self._id, ordinal=len(effects)
            )
        return effects, b"".join(sealed)


def _instance(fields: Fields, prefix: str) -> dict[str, Any]:
    """The instance fields as a report has them: a count is a number."""
    found = {}
    for name in ("valid_from", "valid_until", "issue_no", "card_serial"):
        value = fields.get(prefix + name)
        if value is not None:
            counted = name == "issue_no" and isinstance(value, str) and _ISSUE_NO(value)
            found[name] = int(value) if counted else value
    return found
