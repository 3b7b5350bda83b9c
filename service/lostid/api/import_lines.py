"""The lines of an import: bytes in, fields out, no more in memory than one part of the body. No I/O.

Every physical line stands for itself: a stray quotation mark or a byte that is no text spoils its own line alone.
Line numbers are those that an editor shows; the header of a CSV file is line 1.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from lostid.api.models import MAX_ALIASES

REQUIRED: Final = ("type", "number", "reason", "case_number")
COLUMNS: Final = frozenset(
    (
        "type", "number", "issuing_state", "valid_from", "valid_until", "issue_no", "card_serial", "reason",
        "effective_at", "case_number", "replaced_by_valid_from", "replaced_by_issue_no", "replaced_by_card_serial",
    )
)  # fmt: skip
ALSO_KNOWN_AS: Final = "also_known_as"
"""A list, as in a report; in NDJSON only."""
LINE_LIMIT: Final = 16 * 1024
_ALIAS: Final = frozenset(("type", "number", "issuing_state"))
_BOMS: Final = {"utf-8": b"\xef\xbb\xbf", "gb18030": b"\x841\x953"}
_CSV_TYPE: Final = re.compile(rb'text/csv\s*(?:;\s*charset\s*=\s*"?(utf-8|gb18030)"?\s*)?', re.IGNORECASE)
_NDJSON_TYPE: Final = re.compile(rb'application/x-ndjson\s*(?:;\s*charset\s*=\s*"?utf-8"?\s*)?', re.IGNORECASE)

Fields = Mapping[str, Any]
Parse = Callable[[bytes], Fields]


class BadLine(Exception):
    """A line that is rejected, with the code that says why, and the column where one is meant."""

    def __init__(self, code: str, field: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.field = field


class BadHeader(Exception):
    """The first line of a CSV file names columns that nobody knows, or lacks some. Each with its code."""

    def __init__(self, faults: list[tuple[str, str]]) -> None:
        super().__init__(faults)
        self.faults = faults


def charset_of(content_type: bytes, content_encoding: bytes) -> str | None:
    """`utf-8`, `gb18030` (both CSV), `ndjson`; None for what is not taken."""
    if content_encoding and content_encoding.lower() != b"identity":
        return None
    if _NDJSON_TYPE.fullmatch(content_type.strip()):
        return "ndjson"
    found = _CSV_TYPE.fullmatch(content_type.strip())
    if found is None:
        return None
    return (found[1] or b"utf-8").decode("ascii").lower()


class Lines:
    """Cuts a body into its lines."""

    def __init__(self) -> None:
        self.number = 0
        self._rest = b""

    def feed(self, part: bytes) -> list[tuple[int, bytes]]:
        """The lines that are complete now. One that is too long comes with LINE_LIMIT + 1 bytes of it."""
        pieces = (self._rest + part).split(b"\n")
        self._rest = pieces.pop()[: LINE_LIMIT + 1]
        first = self.number + 1
        self.number += len(pieces)
        return [(first + place, piece[: LINE_LIMIT + 1]) for place, piece in enumerate(pieces)]

    def end(self) -> list[tuple[int, bytes]]:
        """The last line, where no newline follows it."""
        return self.feed(b"\n") if self._rest else []


def without_bom(charset: str, line: bytes) -> bytes:
    return line.removeprefix(_BOMS.get(charset, _BOMS["utf-8"]))


class Plain(NamedTuple):
    """A line without quotation marks, taken apart: its number, its case number, and whatever else stands in it."""

    number: str
    case_number: str
    rest: str


class CsvParse:
    """How the lines after a header are read. `plain` is the short way to the two cells that differ in every line."""

    def __init__(self, charset: str, columns: Sequence[str]) -> None:
        self._charset, self._columns, self._width = charset, columns, len(columns)
        self._number, self._case = columns.index("number"), columns.index("case_number")

    def __call__(self, line: bytes) -> Fields:
        cells = _cells(self._charset, line)
        if len(cells) > self._width and any(cells[self._width :]):
            raise BadLine("columns")
        # Fewer are no fault: spreadsheets leave empty cells at the end of a line away.
        return {name: cell for name, cell in zip(self._columns, map(str.strip, cells), strict=False) if cell}

    def plain(self, line: bytes) -> Plain | None:
        """None: to be read the ordinary way. Lines with the same `rest` differ in number and case number alone."""
        if not line.isascii() or len(line) > LINE_LIMIT:  # ASCII is the same in both charsets
            return None
        text = line.decode("ascii").removesuffix("\r")
        cells = text.split(",")
        if len(cells) != self._width or '"' in text:
            return None
        number, case_number = cells[self._number], cells[self._case]
        cells[self._number] = cells[self._case] = ""
        return Plain(number, case_number, ",".join(cells))


def csv_parser(charset: str, header: bytes) -> CsvParse:
    """Raises BadHeader."""
    try:
        columns = [name.strip() for name in _cells(charset, header)]
    except BadLine as bad:
        raise BadHeader([("/header", bad.code)]) from None
    while columns and not columns[-1]:
        columns.pop()
    faults = [("/header", "field_unknown")] if not COLUMNS.issuperset(columns) else []
    if len(set(columns)) != len(columns):
        faults.append(("/header", "key_repeated"))
    faults += [(f"/header/{name}", "field_missing") for name in REQUIRED if name not in columns]
    if faults:
        raise BadHeader(faults)
    return CsvParse(charset, columns)


def _cells(charset: str, line: bytes) -> list[str]:
    if len(line) > LINE_LIMIT:
        raise BadLine("line_too_long")
    try:
        text = line.decode(charset)
    except UnicodeDecodeError:
        raise BadLine("encoding") from None
    text = text.removesuffix("\r")
    if '"' not in text:
        return text.split(",")
    if text.count('"') % 2:
        raise BadLine("quotes")
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error:
        raise BadLine("quotes") from None


def ndjson_parse(line: bytes) -> Fields:
    if len(line) > LINE_LIMIT:
        raise BadLine("line_too_long")
    try:
        value = json.loads(line.decode("utf-8"), object_pairs_hook=_object)
    except UnicodeDecodeError:
        raise BadLine("encoding") from None
    except (ValueError, RecursionError):
        raise BadLine("json_malformed") from None
    if not isinstance(value, dict):
        raise BadLine("type_wrong")
    aliases = value.pop(ALSO_KNOWN_AS, None)
    if not COLUMNS.issuperset(value):
        raise BadLine("field_unknown")
    for name, found in value.items():
        if found is not None and type(found) is not str and not (type(found) is int and name.endswith("issue_no")):
            raise BadLine("type_wrong", name)
    fields = {name: found for name, found in value.items() if found is not None and found != ""}
    return fields if aliases is None else fields | {ALSO_KNOWN_AS: _aliases(aliases)}


def _aliases(value: Any) -> list[dict[str, str]]:
    if not isinstance(value, list) or len(value) > MAX_ALIASES:
        raise BadLine("type_wrong", ALSO_KNOWN_AS)
    for alias in value:
        if not isinstance(alias, dict) or not all(type(found) is str for found in alias.values()):
            raise BadLine("type_wrong", ALSO_KNOWN_AS)
        if not _ALIAS.issuperset(alias):
            raise BadLine("field_unknown", ALSO_KNOWN_AS)
        if "type" not in alias or "number" not in alias:
            raise BadLine("field_missing", ALSO_KNOWN_AS)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadLine("key_repeated")
    return found
