"""The lines of an import, without a server."""

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lostid.api.clock import Clock
from lostid.api.import_lines import LINE_LIMIT, BadLine, Lines, charset_of, csv_parser, ndjson_parse
from lostid.api.import_rows import Stager
from lostid.domain.keys import Keyring
from lostid.ledger import bodies
from lostid.ledger.apikeys import ApiKey
from lostid.ledger.import_staging import SEALED_BYTES

KEYRING = Keyring(b"o" * 32, b"p" * 32, b"s" * 32)
NOW_MS = 1_790_000_000_000
HEADER = b"type,number,valid_from,reason,case_number"


def stager(import_id: str = "imp_" + "0" * 32) -> Stager:
    any_: frozenset[str] = frozenset()
    key = ApiKey("key_1", 0, b"", "live", "org", "s", "o", any_ | {"importer"}, any_, any_, None, 1, None)
    return Stager(KEYRING, Clock(ZoneInfo("Asia/Shanghai")), key, import_id, NOW_MS)


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=6))
def test_parts(body: bytes, cuts: list[int]) -> None:
    """However a body is cut into parts, its lines and their numbers are the same."""
    lines, found, at = Lines(), [], 0
    for cut in sorted(cuts):
        found += lines.feed(body[at:cut])
        at = max(at, cut)
    found += lines.feed(body[at:]) + lines.end()
    expected = body.split(b"\n")
    assert found == list(enumerate(expected if expected[-1] else expected[:-1], 1))


def test_long_line() -> None:
    """A line without an end takes no more memory than the limit, and spoils no other."""
    lines = Lines()
    for _ in range(100):
        assert lines.feed(b"x" * 10_000) == []
    (long, short) = lines.feed(b"x\nshort\n")
    assert (len(long[1]), short) == (LINE_LIMIT + 1, (2, b"short"))


@given(st.binary(max_size=80))
def test_any_bytes(line: bytes) -> None:
    """Whatever stands in a line, nothing but BadLine is raised, and nothing of it is told."""
    for parse in (csv_parser("utf-8", HEADER), csv_parser("gb18030", HEADER), ndjson_parse):
        row = stager().row(2, line, parse)
        assert row.code is not None
        assert (row.effects, row.sealed, row.case_number) == (None, None, None)


def test_same_body() -> None:
    """A chunk's body has the same bytes as if its effects had been encoded with it."""
    parse = csv_parser("utf-8", b"type,number,card_serial,effective_at,reason,case_number")
    rows = [
        stager().row(2, b"cn.resident-id,11010519491231002X,,2026-01-01,deceased,A-1", parse),
        stager().row(3, b"cn.driving-licence,11010519491231002X,ABCDEFGHI0123,,seized,A-1", parse),
    ]
    written = [row.effects for row in rows if row.effects is not None]
    body = bodies.assembled("import.released", "imp_1", {"rows": 2, "org": "o"}, written)
    told = bodies.decode(body, 7)
    assert bodies.encode(told.kind, told.id, told.facts, told.effects) == body
    assert len(told.effects) == 3
    assert [len(row.sealed or b"") for row in rows] == [2 * SEALED_BYTES, SEALED_BYTES]


@pytest.mark.parametrize(
    ("sent", "charset"),
    [
        (b"text/csv", "utf-8"), (b"Text/CSV; charset=UTF-8", "utf-8"), (b'text/csv;charset="gb18030"', "gb18030"),
        (b"application/x-ndjson", "ndjson"), (b"text/csv; charset=latin-1", None), (b"application/json", None),
        (b"", None),
    ],
)  # fmt: skip
def test_media(sent: bytes, charset: str | None) -> None:
    """What is taken, and as what."""
    assert charset_of(sent, b"") == charset
    assert charset_of(sent, b"gzip") is None


def test_quotes() -> None:
    """Quoted cells are read; a stray quotation mark spoils its line."""
    parse = csv_parser("utf-8", HEADER)
    assert parse(b'"cn.passport","E1""2",,"lost","A"\r')["number"] == 'E1"2'
    with pytest.raises(BadLine, match="quotes"):
        parse(b'cn.passport,"E12,,lost,A')
