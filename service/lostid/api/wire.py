"""The bodies of checks, decoded fast; and, where anything is out of the ordinary, decoded again strictly.

The fast decoder takes the last of repeated keys without a word. A repeated key shows, though: it brings two quotation
marks more than the fields that were found account for. So a body that has exactly the quotation marks of its
fields, and no backslash (which could hide one), repeats no key. Everything else goes the slow way, which refuses with
exact pointers or finds that the body was good after all (an escape in a string)."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType
from pydantic import BaseModel

from lostid.api import ids, models
from lostid.api.body import strict_json
from lostid.api.problems import Fault, Problem
from lostid.domain.roles import PURPOSES

_PURPOSES = frozenset(PURPOSES)


class Document(Struct, forbid_unknown_fields=True, gc=False):
    type: str
    number: str
    issuing_state: str | UnsetType = UNSET
    valid_from: str | UnsetType = UNSET
    valid_until: str | UnsetType = UNSET
    issue_no: int | UnsetType = UNSET
    card_serial: str | UnsetType = UNSET


class Check(Struct, forbid_unknown_fields=True, gc=False):
    document: Document
    operator: str
    purpose: str
    reference: str | UnsetType = UNSET
    receipt: bool | UnsetType = UNSET


class Item(Struct, forbid_unknown_fields=True, gc=False):
    document: Document
    reference: str | UnsetType = UNSET


class Batch(Struct, forbid_unknown_fields=True, gc=False):
    operator: str
    purpose: str
    checks: list[Item]
    receipt: bool | UnsetType = UNSET


T = TypeVar("T", Check, Batch)

_check = msgspec.json.Decoder(Check).decode
_batch = msgspec.json.Decoder(Batch).decode


def decode_check(body: bytes) -> Check:
    """Raises Problem: 400 for what is not strict JSON, 422 for another form."""
    try:
        check = _check(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _slowly(body, Check, models.CheckRequest)
    # Quotation marks: two for each key, two for each string. Always there: the keys document, type, number,
    # operator and purpose, and the strings of the last four.
    quotes = 18 + _quotes(check.document)
    reference = check.reference
    if reference is not UNSET:
        quotes += 4
        if _reference(reference) is None or (len(reference) >= 18 and ids.reads_as_number(reference)):
            return _slowly(body, Check, models.CheckRequest)
    if check.receipt is not UNSET:
        quotes += 2
    if b"\\" in body or body.count(b'"') != quotes or not _known(check.operator, check.purpose):
        return _slowly(body, Check, models.CheckRequest)
    return check


def decode_batch(body: bytes) -> Batch:
    """As decode_check; a fault in any item's form refuses the whole."""
    try:
        batch = _batch(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _slowly(body, Batch, models.BatchRequest)
    quotes = 10 if batch.receipt is UNSET else 12
    good = _known(batch.operator, batch.purpose) and 1 <= len(batch.checks) <= models.MAX_BATCH
    for item in batch.checks:
        quotes += 10 + _quotes(item.document)
        reference = item.reference
        if reference is not UNSET:
            quotes += 4
            good = good and _good_reference(reference)
    if not good or b"\\" in body or body.count(b'"') != quotes:
        return _slowly(body, Batch, models.BatchRequest)
    return batch


def _quotes(document: Document) -> int:
    """Those of a document's optional fields."""
    quotes = 0
    if document.valid_from is not UNSET:
        quotes += 4
    if document.issue_no is not UNSET:
        quotes += 2
    if document.card_serial is not UNSET:
        quotes += 4
    if document.valid_until is not UNSET:
        quotes += 4
    if document.issuing_state is not UNSET:
        quotes += 4
    return quotes


_good_names: set[str] = set()
_REMEMBERED = 10_000
_reference = ids.REFERENCE.fullmatch


def _known(operator: str, purpose: str) -> bool:
    """Operators come again and again: one that was found good is remembered."""
    if operator not in _good_names:
        if ids.NAME.fullmatch(operator) is None or ids.reads_as_number(operator):
            return False
        if len(_good_names) >= _REMEMBERED:
            _good_names.clear()
        _good_names.add(operator)
    return purpose in _PURPOSES


def _good_reference(reference: str | UnsetType) -> bool:
    return reference is UNSET or (_reference(reference) is not None and not ids.reads_as_number(reference))


def _slowly(body: bytes, struct: type[T], model: type[BaseModel]) -> T:
    value = strict_json(body)
    models.validated(model, value)
    try:
        return msgspec.convert(value, struct)
    except (msgspec.MsgspecError, ValueError):
        raise Problem("invalid", [Fault("", "type_wrong")]) from None
