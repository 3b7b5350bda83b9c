"""From the lines of an import to what is kept of them: rows by document key, or the codes of their rejections.

The same canonicaliser and the same decision as for a report. The number is forgotten as soon as its key is known.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from lostid.api import ids
from lostid.api.clock import Clock, parse_instant_or_date
from lostid.api.import_lines import REQUIRED, BadLine, CsvParse, Fields, Parse, Plain
from lostid.domain import staged
from lostid.domain.canonical import Canonical, canonicalise
from lostid.domain.decide import ReportDecision, decide_cover, decide_report, effects_on
from lostid.domain.errors import Refusal
from lostid.domain.instance import Instance, instance_of
from lostid.domain.keys import Keyring
from lostid.domain.staged import EFFECTS_A_LINE, KEY_BYTES, ORDINAL_BYTES
from lostid.ledger.apikeys import ApiKey
from lostid.ledger.import_parts import NO_PRINT, PRINT_BYTES

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
        printing = blake2b(digest_size=PRINT_BYTES, key=keyring.fingerprint_key, person=b"lostid.importrow")
        self._begin_print = printing.copy
        self._nonces, self._nonce_at = b"", 0
        self._decided: dict[tuple[Any, ...], _Decided] = {}
        self._alike: dict[str, _Alike] = {}

    def print_of(self, raw: bytes) -> bytes:
        """16 bytes to know the line again by; of one with nothing on it, NO_PRINT."""
        if not raw.strip():
            return NO_PRINT
        made = self._begin_print()
        made.update(raw.removesuffix(b"\r"))
        return made.digest()

    def read(self, parse: Parse, raw: bytes, line: int) -> Staged:
        """What is staged of a line. Raises BadLine."""
        plain = parse.plain(raw) if isinstance(parse, CsvParse) else None
        if plain is None:
            return self.staged(parse(raw), line)
        alike = self._alike.get(plain.rest)
        found = None if alike is None else self._like(alike, plain, line)
        return self.staged(parse(raw), line, plain.rest) if found is None else found

    def _like(self, alike: _Alike, plain: Plain, line: int) -> Staged | None:
        """The short way for a line that differs from an earlier one in number and case number alone. None: not for
        this one, which may be refused as well; the long way tells."""
        case_number = plain.case_number
        if ids.REFERENCE.fullmatch(case_number) is None or ids.reads_as_number(case_number):
            return None
        try:
            document = canonicalise(alike.type, plain.number, alike.issuing_state, self._today)
        except Refusal:
            return None
        if _shape(document) != alike.shape or (document.birth is not None and document.birth > alike.born_by):
            return None
        rows, sealed = self._rows(document, alike.types, alike.tails, line)
        return rows, sealed, case_number

    def staged(self, fields: Fields, line: int, rest: str | None = None) -> Staged:
        """The rows of a line, the sealed tokens of its documents, its case number; `rest`: by which to know others
        that are alike. Raises BadLine."""
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
            rows, sealed = self._effects(fields, line, rest)
        except Refusal as refusal:
            field = refusal.pointer.strip("/").replace("/", "_")
            if _EXCEL(str(fields.get(field, ""))):
                raise BadLine("excel_number", field) from None
            raise BadLine(refusal.code, field) from None
        return rows, sealed, case_number

    def _effects(self, fields: Fields, line: int, rest: str | None) -> tuple[bytes, bytes]:
        document = canonicalise(fields["type"], fields["number"], fields.get("issuing_state"), self._today)
        instance = instance_of(_instance(fields, ""), document, self._today)
        if "also_known_as" in fields:
            return self._report(fields, document, instance, line)
        decided = self._decision(fields, document, instance)
        if decided.tails is None:
            return self._report(fields, document, instance, line)
        if rest is not None:
            self._remember(rest, fields, document, decided)
        return self._rows(document, decided.types, decided.tails, line)

    def _rows(
        self, document: Canonical, types: Sequence[str], tails: Sequence[bytes], line: int
    ) -> tuple[bytes, bytes]:
        if len(types) == len(tails) == 1:  # nearly always
            key, sealed = self._keyed(document)
            return key + (line * EFFECTS_A_LINE).to_bytes(ORDINAL_BYTES) + tails[0], sealed
        keyed = [self._keyed(document.under(type)) for type in types]
        rows: list[bytes] = []
        place = line * EFFECTS_A_LINE
        for key, _ in keyed:
            for tail in tails:
                rows += (key, place.to_bytes(ORDINAL_BYTES), tail)
                place += 1
        return b"".join(rows), b"".join([sealed for _, sealed in keyed])

    def _remember(self, rest: str, fields: Fields, document: Canonical, decided: _Decided) -> None:
        """The number has a say in the instance as well: nothing is issued before the holder's birth, and a
        `valid_until` alone is read by the holder's age."""
        valid_from = fields.get("valid_from")
        if decided.tails is None or ("valid_until" in fields and valid_from is None):
            return
        born_by = decided.after if valid_from is None else min(decided.after, date.fromisoformat(valid_from))
        if len(self._alike) >= _REMEMBERED:
            self._alike.clear()
        state = fields.get("issuing_state")
        self._alike[rest] = _Alike(fields["type"], state, _shape(document), born_by, decided.types, decided.tails)

    def _decision(self, fields: Fields, document: Canonical, instance: Instance) -> _Decided:
        """What a report decides, from memory where it can be: it depends on the number in two ways only. Its shape
        gives the types after a death; and nothing may have happened before the holder's birth."""
        effective, replaced = fields.get("effective_at"), _instance(fields, "replaced_by_")
        asked = (*_shape(document), instance, fields["reason"], effective, *replaced.items())
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


Staged = tuple[bytes, bytes, str]
"""Rows, sealed tokens, case number."""
_Shape = tuple[str, bool, int | None]


class _Alike(NamedTuple):
    """What lines say that differ in number and case number alone, for numbers of one shape."""

    type: str
    issuing_state: str | None
    shape: _Shape
    born_by: date
    types: Sequence[str]
    tails: Sequence[bytes]


def _shape(document: Canonical) -> _Shape:
    return document.type, document.birth is None, document.issue_no


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
