"""The small parts of the edge: strict JSON, instants, problems, meters, rooms."""

import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from lostid.api import meters
from lostid.api.body import is_json, strict_json
from lostid.api.clock import Clock, parse_instant, parse_instant_or_date
from lostid.api.parts import Room
from lostid.api.problems import Fault, Problem, prefers_chinese, render
from lostid.api.texts import TABLE

SHANGHAI = ZoneInfo("Asia/Shanghai")


@given(st.binary(max_size=200))
def test_any_bytes(body: bytes) -> None:
    """Any bytes at all are a value or one of two problems."""
    code = None
    try:
        strict_json(body)
    except Problem as problem:
        code = problem.code
    assert code in (None, "json_malformed", "key_repeated")


@given(st.text(max_size=100))
def test_any_headers(text: str) -> None:
    """Any header at all is JSON or not, Chinese or not."""
    raw = text.encode()
    assert is_json(raw, b"") in (True, False)
    assert prefers_chinese(raw) in (True, False)


@pytest.mark.parametrize("code", TABLE)
def test_problems(code: str) -> None:
    """Every code has both languages, ends its sentences, and carries what its status demands."""
    text = TABLE[code]
    assert text.detail.endswith(".")
    assert text.detail_zh.endswith("\u3002")
    assert text.title_zh != text.title
    answer = render(Problem(code, [Fault("/a", "b", "c")]), "req_1", zh=False)
    names = [name for name, _ in answer.headers]
    assert (b"www-authenticate" in names) == (text.status == 401)
    assert (b"retry-after" in names) == (text.status in (429, 503))
    assert text.status == answer.status
    assert text.status < 500 or text.status == 503


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)))  # noqa: DTZ001
def test_instants(moment: datetime) -> None:
    """What the clock writes it reads back, to the millisecond."""
    ms = int(moment.replace(tzinfo=UTC).timestamp() * 1000)
    text = Clock(SHANGHAI).text(ms)
    read = parse_instant(text)
    assert read is not None
    assert round(read.timestamp() * 1000) == ms


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-11-20T09:00:00+08:00", "2026-11-20T01:00:00+00:00"),
        ("2026-11-20t09:00:00z", "2026-11-20T09:00:00+00:00"),
        ("2026-11-20T09:00:00.123456789-00:30", "2026-11-20T09:30:00.123456+00:00"),
        ("2026-11-20T09:00:00", None),
        ("2026-11-20 09:00:00Z", None),
        ("2026-11-20T24:00:00Z", None),
        ("2026-11-20T09:00:60Z", None),
        ("2026-11-20T09:00Z", None),
        ("2026-11-31T09:00:00Z", None),
        ("2026-11-20T09:00:00+24:00", None),
        ("20261120T090000Z", None),
        ("\uff12026-11-20T09:00:00Z", None),
        ("2026-11-20T09:00:00Z\n", None),
        ("9999-12-31T23:59:59-23:59", None),
        ("0001-01-01T00:00:00+23:59", None),
    ],
)
def test_parse_instant(text: str, utc: str | None) -> None:
    """RFC 3339 with an offset, nothing else."""
    read = parse_instant(text)
    assert (None if read is None else read.astimezone(UTC).isoformat()) == utc


def test_dates() -> None:
    """A date is a date, a week date is none."""
    assert parse_instant_or_date("2026-11-20") == date(2026, 11, 20)
    for wrong in ("2026-W47-5", "20261120", "2026-02-29", ""):
        assert parse_instant_or_date(wrong) is None


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/St_Johns", "Pacific/Apia", "UTC"])
def test_today(zone: str) -> None:
    """The day of any instant in the registry's zone, asked in any order; summer time and a day that never was."""
    clock = Clock(ZoneInfo(zone))
    hours = [datetime(2011, 12, day, hour, tzinfo=UTC) for day in (31, 29, 30) for hour in (9, 10, 11, 15, 16)]
    moments = [int(hour.timestamp()) * 1000 for hour in hours]
    for ms in [*moments, 520_000_000_000, *moments[::-1]]:
        assert clock.today(ms) == datetime.fromtimestamp(ms / 1000, ZoneInfo(zone)).date()


def test_meters(tmp_path: Path) -> None:
    """What is counted is scraped: counters by label, a histogram with its sum."""
    meter = meters.Meters(tmp_path)
    meter.add(meters.STATUS_WORD["void"], 3)
    for ns in (1, 4095, 4096, 10**12):
        meter.took(meters.CHECK_TIME, ns)
    text = meter.exposition().decode()
    found: dict[tuple[str, ...], float] = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["lostid_checks_total", "void"] == 3
    assert found["lostid_check_seconds_bucket", "0.000004096"] == 2
    assert found["lostid_check_seconds_bucket", "0.000008192"] == 3
    assert found["lostid_check_seconds_bucket", "+Inf"] == 4
    assert found["lostid_check_seconds_sum",] == (1 + 4095 + 4096 + 10**12) / 1e9
    assert meters.Meters(tmp_path).total(meters.STATUS_WORD["void"]) == 3


def test_lines_of_the_dead(tmp_path: Path) -> None:
    """What a killed worker had taken for the journal and neither written nor lost counts as lost."""
    ended = subprocess.run(
        [sys.executable, "-c", _DIES, str(tmp_path)], check=False, stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    assert ended.stdout == "0\n"
    meter = meters.Meters(tmp_path)
    assert (meter.total(meters.JOURNAL_WRITTEN), meter.total(meters.JOURNAL_LOST)) == (4, 6)
    assert meters.Meters(tmp_path).total(meters.JOURNAL_LOST) == 6


_DIES = """
import os, signal, sys
from pathlib import Path
from lostid.api import meters
one = meters.Meters(Path(sys.argv[1]))
one.add(meters.STATUS_WORD["clear"], 9)
one.add(meters.REFUSED)
one.journal_tally[0] += 4
print(one.total(meters.JOURNAL_LOST), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_words_do_not_meet() -> None:
    """No two series count in the same word, and all fit into a row."""
    words = [word for what in meters._row.all if isinstance(what, meters.Series) for word in what.words]
    for timing in (meters.CHECK_TIME, meters.RECEIPT_TIME):
        words += range(timing.start, timing.sum + 1)
        assert {timing.word(1 << bit) for bit in range(63)} <= set(range(timing.start, timing.sum))
    assert len(words) == len(set(words)) == meters._row.used <= meters.ROW_BYTES // 8


def test_room() -> None:
    """So many at once; a place that is left is free again, also after an error."""
    room = Room(1)
    with room.place():
        with pytest.raises(Problem) as full, room.place():
            pass
        assert full.value.code == "overloaded"
    with pytest.raises(KeyError), room.place():
        raise KeyError
    with room.place():
        assert room.taken == 1
