"""The bodies that callers send: their form, and nothing else. What a number or an instance may be is for the domain.

These models refuse (with exact pointers), and describe themselves in openapi.json. The checks' hot path decodes
with its own structs (`wire.py`) and comes here only to say what was wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import MISSING, AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from lostid.api import ids
from lostid.api.problems import FORM_CODES, Fault, Problem
from lostid.domain.reasons import REASONS
from lostid.domain.roles import PURPOSES
from lostid.domain.withdrawal import GROUNDS

MAX_BATCH = 1_000
MAX_ALIASES = 8
MAX_PAGE = 200
MAX_KEYS = 500
_MAX_FAULTS = 20


def _no_number(value: str) -> str:
    if ids.reads_as_number(value):
        raise PydanticCustomError("contains_document_number", "reads as a document number")
    return value


def _plain_text(value: str) -> str:
    if not value.strip() or any((ord(c) < 32 and c not in "\n\t") or ord(c) == 127 for c in value):
        raise PydanticCustomError("value_invalid", "not a text")
    return value


def _one_of(known: Mapping[str, object] | tuple[str, ...]) -> Any:
    def check(value: str) -> str:
        if value not in known:
            raise PydanticCustomError("value_invalid", "not in the list")
        return value

    return AfterValidator(check)


def _whole(pattern: str) -> StringConstraints:
    return StringConstraints(pattern=f"^(?:{pattern})$")  # Rust's engine: $ is the end, not also before a newline


Reference = Annotated[str, _whole(ids.REFERENCE.pattern), AfterValidator(_no_number)]
Name = Annotated[str, _whole(ids.NAME.pattern), AfterValidator(_no_number)]
Purpose = Annotated[str, _one_of(PURPOSES), Field(json_schema_extra={"enum": list(PURPOSES)})]
ReasonName = Annotated[str, _one_of(REASONS), Field(json_schema_extra={"enum": list(REASONS)})]
# A key belongs to one operator, and any other writing of the name is somebody else: told by 403, not by its form.
OwnName = Annotated[str, StringConstraints(max_length=64), AfterValidator(_no_number)]
Grounds = Annotated[str, _one_of(GROUNDS), Field(json_schema_extra={"enum": list(GROUNDS)})]
Evidence = Annotated[
    str, StringConstraints(min_length=1, max_length=1000), AfterValidator(_plain_text), AfterValidator(_no_number)
]
Limit = Annotated[int, Field(ge=1, le=MAX_PAGE)]
Cursor = Annotated[str, _whole(r"[A-Za-z0-9_-]{1,128}")]


class Body(BaseModel):
    """A body or a part of one: no unknown field, no other type, null is a type of its own."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class RecordsRequest(Body):
    """Document keys, as the bodies of entries name them."""

    keys: Annotated[list[Annotated[str, _whole("[0-9a-f]{32}")]], Field(min_length=1, max_length=MAX_KEYS)]


class Document(Body):
    """A document as a caller names it."""

    type: str
    number: str
    issuing_state: str | MISSING = MISSING
    valid_from: str | MISSING = MISSING
    valid_until: str | MISSING = MISSING
    issue_no: int | MISSING = MISSING
    card_serial: str | MISSING = MISSING


class CheckRequest(Body):
    document: Document
    operator: Name
    purpose: Purpose
    reference: Reference | MISSING = MISSING
    receipt: bool | MISSING = MISSING


class BatchItem(Body):
    document: Document
    reference: Reference | MISSING = MISSING


class BatchRequest(Body):
    operator: Name
    purpose: Purpose
    receipt: bool | MISSING = MISSING
    checks: Annotated[list[BatchItem], Field(min_length=1, max_length=MAX_BATCH)]


class Alias(Body):
    """The same card or person under another number."""

    type: str
    number: str
    issuing_state: str | MISSING = MISSING


class NewCard(Body):
    """The good card: one of the three, the one that tells cards of the type apart."""

    valid_from: str | MISSING = MISSING
    issue_no: int | MISSING = MISSING
    card_serial: str | MISSING = MISSING


class ReportRequest(Body):
    document: Document
    reason: ReasonName
    operator: Name
    case_number: Reference
    effective_at: str | MISSING = MISSING
    replaced_by: NewCard | MISSING = MISSING
    also_known_as: Annotated[list[Alias], Field(max_length=MAX_ALIASES)] | MISSING = MISSING


class SearchRequest(Body):
    """With a document: every report on it. Without: the organisation's own reports under the case number."""

    operator: Name
    case_number: Reference
    document: Document | MISSING = MISSING
    recorded_since: str | MISSING = MISSING
    limit: Limit = 50
    cursor: Cursor | MISSING = MISSING


class HistoryRequest(Body):
    operator: Name
    case_number: Reference
    document: Document
    limit: Limit = 50
    cursor: Cursor | MISSING = MISSING


class AsOfRequest(Body):
    """What was so, and what was told, at an instant."""

    document: Document
    at: str
    operator: Name
    case_number: Reference


class WithdrawalRequest(Body):
    operator: OwnName
    grounds: Grounds
    evidence: Evidence


class WithdrawalDecision(Body):
    """A body may be left away. Where `report_id` or `grounds` are sent, the withdrawal must be of that report and on
    those grounds."""

    operator: OwnName | MISSING = MISSING
    report_id: Annotated[str, _whole(ids.REPORT_ID.pattern)] | MISSING = MISSING
    grounds: Grounds | MISSING = MISSING


class ImportRequest(Body):
    """`sha256` is that of the rows as they will be sent; where it is given they must match it.

    The key belongs to one operator: where the body names another, that is refused."""

    operator: OwnName | MISSING = MISSING
    source: Reference
    sha256: Annotated[str, _whole("[0-9a-f]{64}")] | MISSING = MISSING
    dry_run: bool | MISSING = MISSING


class ImportAct(Body):
    """A body may be left away."""

    operator: OwnName | MISSING = MISSING


class ImportWithdrawal(ImportAct):
    """A body may be left away. Of grounds and evidence the entry keeps what that of a report's withdrawal keeps."""

    grounds: Grounds | MISSING = MISSING
    evidence: Evidence | MISSING = MISSING


class RewindRequest(Body):
    """`dry_run` false puts the rewind before a second supervisor."""

    since: str
    dry_run: bool = True
    operator: OwnName | MISSING = MISSING
    evidence: Evidence | MISSING = MISSING


M = TypeVar("M", bound=BaseModel)


def validated(model: type[M], value: object) -> M:
    """The value as the model has it. Raises Problem invalid, which names every fault and repeats no value."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        raise Problem("invalid", [_fault(detail) for detail in details[:_MAX_FAULTS]]) from None


def given(part: Body) -> dict[str, Any]:
    """The fields that were sent."""
    return part.model_dump()


_FIELD_NAMES = frozenset(
    name
    for part in (
        ImportRequest,
        Document,
        CheckRequest,
        BatchItem,
        BatchRequest,
        NewCard,
        ReportRequest,
        SearchRequest,
        AsOfRequest,
        WithdrawalRequest,
        WithdrawalDecision,
        RewindRequest,
        RecordsRequest,
    )
    for name in part.model_fields
)


def _fault(detail: ErrorDetails) -> Fault:
    kind, where = detail["type"], detail["loc"]
    if kind in FORM_CODES:
        code = kind
    elif kind == "extra_forbidden":
        code = "field_unknown"
    elif kind == "missing":
        code = "field_missing"
    else:
        code = "type_wrong" if kind.endswith("_type") else "value_invalid"
    return Fault(_pointer(where), code)


def _pointer(where: tuple[int | str, ...]) -> str:
    """A JSON pointer. It stops where the caller's own names begin: a field's name may be a document number."""
    steps = []
    for step in where:
        if isinstance(step, str) and step not in _FIELD_NAMES:
            break
        steps.append(f"/{step}")
    return "".join(steps)
