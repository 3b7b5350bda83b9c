"""The lines of an import, without a server."""

import json
from datetime import date
from itertools import product
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lostid.api.clock import Clock
from lostid.api.import_lines import LINE_LIMIT, BadLine, Lines, charset_of, csv_parser, ndjson_parse
from lostid.api.import_part import Made, PartMaker
from lostid.api.import_rows import Stager
from lostid.domain import gb11643, staged
from lostid.domain.canonical import canonicalise
from lostid.domain.covers import Action
from lostid.domain.decide import decide_cover
from lostid.domain.instance import instance_of
from lostid.domain.keys import Keyring
from lostid.ledger.apikeys import ApiKey
from lostid.ledger.import_parts import SEALED_BYTES, Part, Rejection, beyond

KEYRING = Keyring(b"o" * 32, b"p" * 32, b"s" * 32)
NOW_MS = 1_790_000_000_000
HEADER = b"type,number,valid_from,reason,case_number"


def numbered(birth: date) -> str:
    body = f"110105{birth:%Y%m%d}001"
    return body + gb11643.check_character(body)


HELD = [numbered(date(year, 5, 5)) for year in (1949, 1980, 2003, 2015)]


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
    """Whatever stands in a line, it is rejected and nothing else is raised; nothing of it is kept but its print."""
    for parse in (csv_parser("utf-8", HEADER), csv_parser("gb18030", HEADER), ndjson_parse):
        maker = PartMaker(stager(), parse, 0, None, 0)
        maker.take(2, line)
        part, rejections, _, _ = maker.made()
        assert len(rejections) == (1 if line.strip() else 0)
        assert (part.lines, part.accepted, part.rows, part.sealed, part.cases) == (1, 0, b"", b"", "")


def test_rows() -> None:
    """The rows of a line are the effects of a report that says the same, also from memory and in other parts."""
    parse = csv_parser(
        "utf-8", b"type,number,card_serial,valid_from,effective_at,replaced_by_valid_from,reason,case_number"
    )
    lines = [
        b"cn.resident-id,11010519491231002X,,,2026-01-01,,deceased,A-1",
        b"cn.driving-licence,11010519491231002X,ABCDEFGHI0123,,,,seized,A-1",
        b"cn.resident-id,11010519491231002X,,2015-03-01,,2019-03-01,replaced,A-1",
        b"cn.resident-id,11010519491231002X,,,2026-01-01,,deceased,A-1",
    ]
    maker = PartMaker(stager(), parse, 0, None, 0)
    for line, raw in enumerate(lines, 2):
        maker.take(line, raw)
    made = maker.made()
    assert not made.rejections
    found = list(staged.effects(made.part.rows, 7, "imp_1"))
    assert [effect.ordinal >> 8 for effect in found] == [2, 2, 3, 4, 4, 5, 5]
    assert len(made.part.sealed) == 6 * SEALED_BYTES
    covers = {effect.ordinal: (effect.action, effect.cover) for effect in found}
    today = Clock(ZoneInfo("Asia/Shanghai")).today(NOW_MS)
    document = canonicalise("cn.resident-id", "11010519491231002X", None, today)
    asked = {"reason": "replaced", "effective_at": None, "replaced_by": {"valid_from": "2019-03-01"}}
    rules = {"zone": ZoneInfo("Asia/Shanghai"), "today": today, "now_ms": NOW_MS}
    instance = instance_of({"valid_from": "2015-03-01"}, document, today)
    decision = decide_cover(document, instance, **asked, **rules)  # type: ignore[arg-type]
    assert covers[4 << 8] == (Action.ADD, decision.cover)
    assert covers[(4 << 8) + 1] == (Action.NARROW, decision.narrow)
    assert covers[5 << 8] == covers[2 << 8]


@given(st.dates(date(1850, 1, 1), date(2026, 12, 31)), st.dates(date(1850, 1, 1), date(2026, 12, 31)))
def test_remembered(birth: date, day: date) -> None:
    """What is remembered of one holder is never used for another who was not born yet."""
    one = stager()
    parse = csv_parser("utf-8", b"type,number,effective_at,reason,case_number")
    for number in (numbered(date(1840, 1, 1)), numbered(birth), numbered(birth)):
        fields = parse(f"cn.resident-id,{number},{day},lost,A".encode())
        told = []
        for stage in (one, stager()):
            try:
                told.append(stage.staged(fields, 2)[0])
            except BadLine as bad:
                told.append(f"{bad.code} {bad.field}".encode())
        assert told[0] == told[1]


def test_alike() -> None:
    """A line that is like earlier ones but for its numbers is read as if it were the first: the same rows, the same
    tokens, or rejected for the same reason."""
    types = ("cn.resident-id", "cn.driving-licence", "cn.hk-macau-permit", "cn.passport", "")
    cells = (
        ("", "2015-03-01", "1999-12-31", "2015-3-1", " 2015-03-01"),
        ("", "2035-03-01", "2005-12-31"),
        ("", "2015-02-01", "2015-02-01T10:00:00Z"),
        ("lost", "deceased", "replaced"),
    )
    written = (
        *HELD,
        "110105491231002",
        f" {HELD[0][:9]} {HELD[0][9:]}",
        "H1234567801",
        "H12345678",
        "E12345678",
        "1E+17",
    )
    parse = csv_parser("utf-8", b"type,valid_from,valid_until,effective_at,reason,number,case_number")

    def told(one: Stager, raw: bytes) -> tuple[object, ...]:
        try:
            rows, sealed, case = one.read(parse, raw, 7)
        except BadLine as bad:
            return bad.code, bad.field
        tokens = [sealed[at : at + SEALED_BYTES] for at in range(0, len(sealed), SEALED_BYTES)]
        return rows, [KEYRING.unseal(token[:16], token[16:]) for token in tokens], case

    cases = ("A-1", "A 1", HELD[0])
    for said in product(types, *cells):
        one = stager()
        for number, case in (*product(written, cases), (HELD[0], "\tA-2"), (written[0], "A-3")):
            raw = ",".join((*said, number, case)).encode()
            assert told(one, raw) == told(stager(), raw), raw


def test_again() -> None:
    """A part that comes again is compared line by line: the same changes nothing, another line counts for nothing, and
    what is new beyond its end is added."""
    parse = csv_parser("utf-8", HEADER)
    rows = [f"cn.resident-id,11010519491231002X,201{n}-03-01,lost,A-{n}".encode() for n in range(5)]

    def sent(lines: list[bytes], known: Part | None, rejected: int = 0) -> Made:
        maker = PartMaker(stager(), parse, 0, known, rejected)
        for line, raw in enumerate(lines, 1):
            maker.take(line, raw)
        return maker.made()

    first = sent(rows[:3], None)
    assert (first.part.lines, first.part.accepted, first.changed) == (3, 3, True)
    assert sent(rows[:3], first.part) == Made(first.part, [], 0, changed=False)
    more = sent([rows[0], b"other", rows[2], rows[3]], first.part)
    assert (more.part.lines, more.part.accepted, more.rejected) == (4, 3, 1)
    assert more.rejections == [Rejection(2, "line_differs", None)]
    assert more.part.cases == "A-0\nA-2\nA-3"
    assert [effect.ordinal >> 8 for effect in staged.effects(more.part.rows, 1, "i")] == [1, 3, 4]
    assert more.part.print_of(1) == first.part.print_of(1)
    assert beyond(more.part, 2) == [3, 4]


def test_aliases() -> None:
    """NDJSON rows may name other numbers of the card; what is wrong with one is said of that one."""
    row = {
        "type": "cn.resident-id",
        "number": "11010519491231002X",
        "valid_from": "2015-03-01",
        "reason": "lost",
        "case_number": "A",
    }
    alias = {"type": "cn.resident-id", "number": "110105491231002"}
    other = {"type": "cn.residence-permit", "number": "810000199408230021"}
    assert staged_keys({**row, "also_known_as": [alias]}) == 1
    assert staged_keys({**row, "also_known_as": [other]}) == 2
    for wrong, code, field in (
        ("x", "type_wrong", "also_known_as"),
        ([{"type": "cn.passport"}], "field_missing", "also_known_as"),
        ([{**alias, "colour": "red"}], "field_unknown", "also_known_as"),
        ([alias] * 9, "type_wrong", "also_known_as"),
        ([alias, {**alias, "number": "1"}], "length", "also_known_as_1_number"),
    ):
        with pytest.raises(BadLine) as bad:
            staged_keys({**row, "also_known_as": wrong})
        assert (bad.value.code, bad.value.field) == (code, field)


def staged_keys(row: dict[str, object]) -> int:
    rows, _, _ = stager().staged(ndjson_parse(json.dumps(row).encode()), 2)
    return len(set(staged.keys_of(rows)))


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
