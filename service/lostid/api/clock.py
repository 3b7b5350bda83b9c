"""Wall time as answers show it. Nothing here decides about freshness: that is the lease's clock (filter.page)."""

from __future__ import annotations

import re
import time
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECONDS = tuple(f"{ms:03d}Z" for ms in range(1000))
_INSTANT = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt]((?:[01]\d|2[0-3]):\d{2}:\d{2})(?:\.(\d{1,9}))?(?:([Zz])|([+-](?:[01]\d|2[0-3]):[0-5]\d))",
    re.ASCII,
)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@lru_cache(maxsize=16)
def _second(second: int) -> str:
    """Up to the point behind which the milliseconds stand."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.").rjust(20, "0")


class Clock:
    """Formats instants, knows today in the registry's zone."""

    def __init__(self, zone: tzinfo) -> None:
        self.zone = zone
        self._today = date.min
        self._until_ms = 0
        self._from_ms = 1

    @staticmethod
    @lru_cache(maxsize=256)  # of a busy millisecond it is asked some thirty times
    def text(ms: int) -> str:
        """RFC 3339, UTC, milliseconds."""
        second, rest = divmod(ms, 1000)
        return _second(second) + _MILLISECONDS[rest]

    def today(self, ms: int) -> date:
        """The day of an instant in the registry's zone."""
        if not self._from_ms <= ms < self._until_ms:
            day = datetime.fromtimestamp(ms / 1000, self.zone).date()
            self._today = day
            self._from_ms = _midnight_ms(day, self.zone)
            self._until_ms = _midnight_ms(day + timedelta(days=1), self.zone)
        return self._today


def _midnight_ms(day: date, zone: tzinfo) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp() * 1000)


def ms_of(instant: datetime) -> int:
    """Whole milliseconds since 1970, without the detour over floats."""
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def parse_instant(text: str) -> datetime | None:
    """RFC 3339 with an offset, to the microsecond. None for anything else, and for what UTC has not in four digits."""
    found = _INSTANT.fullmatch(text)
    if found is None:
        return None
    day, clock, fraction, utc, offset = found.groups()
    try:
        instant = datetime.fromisoformat(
            f"{day}T{clock}.{(fraction or '0')[:6].ljust(6, '0')}{'+00:00' if utc else offset}"
        )
        instant.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return instant


def parse_instant_or_date(text: str) -> datetime | date | None:
    if _DATE.fullmatch(text) is None:
        return parse_instant(text)
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
