"""From the lines of an import to what is kept of them: rows by document key, or the codes of their rejections.

The same canonicaliser and the same decision as for a report. The number is forgotten as soon as its key is known.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from lostid.api import ids
from lostid.api.clock import Clock, parse_instant_or_date
from lostid.api.import_lines import REQUIRED, BadLine, Fields, Parse
from lostid.domain import staged
from lostid.domain.canonical import Canonical, canonicalise
from lostid.domain.decide import ReportDecision, decide_cover, decide_report, effects_on
from lostid.domain.errors import Refusal
from lostid.domain.instance import Instance, instance_of
from lostid.domain.keys import Keyring
from lostid.domain.staged import EFFECTS_A_LINE, KEY_BYTES, ORDINAL_BYTES, PART_LINES
from lostid.ledger.apikeys import ApiKey
from lostid.ledger.import_parts import LINE_DIFFERS, NO_PRINT, PRINT_BYTES, Part, Rejection, cut, joined

_NONCE_BYTES: Final = 12
_NONCES: Final = 1_024 * _NONCE_BYTES
_REMEMBERED: Final = 65_536
_TWO_DAYS: Final = timedelta(days=2)
_NO_KEY: Final = bytes(KEY_BYTES)
_EXCEL: Final = re.compile(r"[0-9]+(?:[.,][0-9]+)?[eE]\+[0-9]+").fullmatch
_ISSUE_NO: Final = re.compile(r"[0-9]{1,2}", re.ASCII).fullmatch


class Stager:
    """Reads the lines of one import, as its importer may report."""

    def __init__(self, keyring: Keyring, clock: Clock, key: ApiKey, import_id: str, now_ms: int) -> None:
        self._keyring = keyring
        self._key = key
        self._id = import_id
        self._today = clock.today(now_ms)
        self._rules: dict[str, Any] = {"zone": clock.zone, "today": self._today, "now_ms": now_ms}
        self._print = blake2b(digest_size=PRINT_BYTES, key=keyring.fingerprint_key, person=b"lostid.importrow")
        self._nonces, self._nonce_at = b"", 0
        self._decided: dict[tuple[Any, ...], _Decided] = {}

    def print_of(self, raw: bytes) -> bytes:
        """16 bytes to know the line again by; of one with nothing on it, NO_PRINT."""
        if not raw.strip():
            return NO_PRINT
        made = self._print.copy()
        made.update(raw.removesuffix(b"\r"))
        return made.digest()

    def staged(self, fields: Fields, line: int) -> tuple[bytes, bytes, str]:
        """The rows of a line, the sealed tokens of its documents, its case number. Raises BadLine."""
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
            rows, sealed = self._effects(fields, line)
        except Refusal as refusal:
            field = refusal.pointer.strip("/").replace("/", "_")
            if _EXCEL(str(fields.get(field, ""))):
                raise BadLine("excel_number", field) from None
            raise BadLine(refusal.code, field) from None
        return rows, sealed, case_number

    def _effects(self, fields: Fields, line: int) -> tuple[bytes, bytes]:
        document = canonicalise(fields["type"], fields["number"], fields.get("issuing_state"), self._today)
        instance = instance_of(_instance(fields, ""), document, self._today)
        if "also_known_as" in fields:
            return self._report(fields, document, instance, line)
        decided = self._decision(fields, document, instance)
        if decided.tails is None:
            return self._report(fields, document, instance, line)
        keyed = [self._keyed(document.under(type)) for type in decided.types]
        rows: list[bytes] = []
        place = line * EFFECTS_A_LINE
        for key, _ in keyed:
            for tail in decided.tails:
                rows += (key, place.to_bytes(ORDINAL_BYTES), tail)
                place += 1
        return b"".join(rows), b"".join([sealed for _, sealed in keyed])

    def _decision(self, fields: Fields, document: Canonical, instance: Instance) -> _Decided:
        """What a report decides, from memory where it can be: it depends on the number in two ways only. Its shape
        gives the types after a death; and nothing may have happened before the holder's birth."""
        effective, replaced = fields.get("effective_at"), _instance(fields, "replaced_by_")
        shape = document.type, document.birth is None, document.issue_no
        asked = (*shape, instance, fields["reason"], effective, *replaced.items())
        decided = self._decided.get(asked)
        if decided is not None and (document.birth is None or document.birth <= decided.after):
            return decided
        effective_at = _effective_at(fields)
        decision = decide_cover(
            document,
            instance,
            reason=fields["reason"],
            effective_at=effective_at,
            replaced_by=replaced or None,
            **self._rules,
        )
        if len(self._decided) >= _REMEMBERED:
            self._decided.clear()
        self._decided[asked] = decided = _Decided(decision, effective_at, replaced)
        return decided

    def _report(self, fields: Fields, document: Canonical, instance: Instance, line: int) -> tuple[bytes, bytes]:
        """The long way, as for a report: where there are other numbers, or serials, whose tags differ by key."""
        known_as = []
        for place, alias in enumerate(fields.get("also_known_as", ())):
            try:
                named = alias["type"], alias["number"], alias.get("issuing_state")
                known_as.append(canonicalise(*named, self._today))
            except Refusal as refusal:
                raise BadLine(refusal.code, f"also_known_as_{place}{refusal.pointer.replace('/', '_')}") from None
        documents, _ = decide_report(
            document,
            instance,
            known_as,
            reason=fields["reason"],
            effective_at=_effective_at(fields),
            replaced_by=_instance(fields, "replaced_by_") or None,
            **self._rules,
        )
        rows: list[bytes] = []
        sealed = []
        for covered, decision in documents:
            key, token = self._keyed(covered)
            sealed.append(token)
            tag_key = self._keyring.record_tag_key
            for effect in effects_on(decision, key=key, tag_key=tag_key, seq=0, report_id=self._id):
                rows.append(staged.packed(effect, line, len(rows)))
        return b"".join(rows), b"".join(sealed)

    def _keyed(self, document: Canonical) -> tuple[bytes, bytes]:
        """The document key; and with it in front, the sealed token."""
        token = self._keyring.token(self._key.env, document)
        key = self._keyring.key_of_token(token)
        at = self._nonce_at
        if at == len(self._nonces):
            self._nonces, at = os.urandom(_NONCES), 0
        self._nonce_at = at + _NONCE_BYTES
        nonce = self._nonces[at : at + _NONCE_BYTES]
        return key, key + self._keyring.seal(key, token, nonce)


class _Decided:
    """A decision as rows without their keys: the same for every document of which the same is reported."""

    __slots__ = ("after", "tails", "types")

    def __init__(self, decision: ReportDecision, effective_at: datetime | date | None, new: Mapping[str, Any]) -> None:
        self.types = decision.types
        self.tails: list[bytes] | None = None
        if decision.serial is None:
            placed = effects_on(decision, key=_NO_KEY, tag_key=b"", seq=0, report_id="")
            self.tails = [staged.packed(effect, 0, 0)[KEY_BYTES + ORDINAL_BYTES :] for effect in placed]
        # Whoever was born by this day gets the same decision. Zones apart, so for the others it is made anew.
        self.after = date.max
        if effective_at is not None:
            day = effective_at.date() if isinstance(effective_at, datetime) else effective_at
            self.after = max(day, date.min + _TWO_DAYS) - _TWO_DAYS
        if new:
            self.after = date.min


class Made(NamedTuple):
    """What became of a part of the file in this sending."""

    part: Part
    rejections: list[Rejection]
    """Those that are new."""
    rejected: int
    """In all, as of this part."""
    changed: bool


class PartMaker:
    """Puts a part of the file together, line by line; or compares it with what is known of it."""

    def __init__(self, stager: Stager, parse: Parse, place: int, known: Part | None, rejected: int) -> None:
        """`rejected`: how many of the known lines were."""
        self._stager, self._parse, self._place = stager, parse, place
        self._known, self._were_rejected = known, rejected
        self._lines_known = 0 if known is None else known.lines
        self._differing: list[int] = []
        self._accepted = 0
        self._prints: list[bytes] = []
        self._rows: list[bytes] = []
        self._sealed: list[bytes] = []
        self._cases: list[str] = []
        self._rejections: list[Rejection] = []

    def take(self, line: int, raw: bytes) -> None:
        print_ = self._stager.print_of(raw)
        place = (line - 1) % PART_LINES
        if place < self._lines_known:
            if self._known is not None and self._known.print_of(place) != print_:
                self._differing.append(line)
            return
        self._prints.append(print_)
        if print_ is NO_PRINT:
            return
        try:
            rows, sealed, case = self._stager.staged(self._parse(raw), line)
        except BadLine as bad:
            self._rejections.append(Rejection(line, bad.code, bad.field))
            return
        self._accepted += 1
        self._rows.append(rows)
        self._sealed.append(sealed)
        self._cases.append(case)

    def made(self) -> Made:
        """A line that came before is the same line, or nobody knows what it should be: then it counts for nothing."""
        rows, sealed, prints = b"".join(self._rows), b"".join(self._sealed), b"".join(self._prints)
        fresh = Part(self._place, len(self._prints), self._accepted, prints, rows, sealed, "\n".join(self._cases))
        if self._known is None:
            return Made(fresh, self._rejections, len(self._rejections), changed=True)
        kept = cut(self._known, set(self._differing)) if self._differing else self._known
        rejected = self._were_rejected + self._known.accepted - kept.accepted + len(self._rejections)
        rejections = [*(Rejection(line, LINE_DIFFERS, None) for line in self._differing), *self._rejections]
        return Made(joined(kept, fresh), rejections, rejected, changed=bool(self._differing or fresh.lines))


def _effective_at(fields: Fields) -> datetime | date | None:
    if "effective_at" not in fields:
        return None
    effective_at = parse_instant_or_date(fields["effective_at"])
    if effective_at is None:
        raise BadLine("value_invalid", "effective_at")
    return effective_at


def _instance(fields: Fields, prefix: str) -> dict[str, Any]:
    """The instance fields as a report has them: a count is a number."""
    found = {}
    for name in ("valid_from", "valid_until", "issue_no", "card_serial"):
        value = fields.get(prefix + name)
        if value is not None:
            counted = name == "issue_no" and isinstance(value, str) and _ISSUE_NO(value)
            found[name] = int(value) if counted else value
    return found
