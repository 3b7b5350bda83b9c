"""Counters of this host's workers, in one mapped file: each worker adds to a row of its own, a scrape adds up the rows.

A row is taken with a lock that ends with its process; who comes after goes on counting in it, so counters never fall.
An increment is one load and one store of an aligned word, without a call: `slots[KIND_BATCH] += 1`."""

from __future__ import annotations

import fcntl
import mmap
import os
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from lostid.api.texts import TABLE
from lostid.domain.reasons import REASONS

ROWS = 256
ROW_BYTES = 2048
_WORDS = ROW_BYTES // 8


@dataclass(frozen=True, slots=True)
class Series:
    """One counter per value of its label."""

    name: str
    help: str
    label: str
    values: tuple[str, ...]
    start: int

    @property
    def words(self) -> range:
        return range(self.start, self.start + len(self.values))


@dataclass(frozen=True, slots=True)
class Timing:
    """A histogram whose bounds are powers of two nanoseconds, so that no search is needed. Then the sum."""

    name: str
    help: str
    shift: int
    buckets: int
    start: int

    def word(self, took_ns: int) -> int:
        return self.start + min((took_ns >> self.shift).bit_length(), self.buckets)

    @property
    def sum(self) -> int:
        return self.start + self.buckets + 1


class _Layout:
    """Hands out the words of a row, in the order of the lines below."""

    def __init__(self) -> None:
        self.all: list[Series | Timing] = []
        self.used = 0

    def series(self, name: str, help_: str, label: str, values: tuple[str, ...]) -> Series:
        made = Series(name, help_, label, values, self.used)
        self.all.append(made)
        self.used += len(values)
        return made

    def timing(self, name: str, help_: str, shift: int, buckets: int) -> Timing:
        made = Timing(name, help_, shift, buckets, self.used)
        self.all.append(made)
        self.used += buckets + 2
        return made


STATUSES = ("clear", "reported", "void", "indeterminate", "refused")
_row = _Layout()
CHECKS = _row.series("lostid_checks", "Documents checked, by status", "status", STATUSES)
PROBLEMS = _row.series("lostid_problems", "Problems answered, by code", "code", tuple(TABLE))
REPORTS = _row.series("lostid_reports", "Reports that went into force here, by reason", "reason", tuple(REASONS))
KINDS = _row.series("lostid_requests", "Requests beside single checks, by kind", "kind", ("batch", "control"))
EXACT = _row.series("lostid_exact_lookups", "Documents that the filter could not clear", "kind", ("check", "batch"))
CANARY = _row.series("lostid_canary_rounds", "Rounds of the canaries", "outcome", ("seen", "unproven", "missed"))
ERRORS = _row.series("lostid_errors", "Unexpected errors, logged each", "where", ("check", "control", "task"))
JOURNAL = _row.series("lostid_journal_lines", "Lines of the journal", "outcome", ("written", "lost"))
_BEHIND = (0, 99, 9_999)
MIRRORS = _row.series(
    "lostid_mirror_questions", "Questions of mirrors for changes, by how many entries they were behind at the most",
    "behind", (*map(str, _BEHIND), "more"),
)  # fmt: skip
SENT = _row.series("lostid_mirror_sent_bytes", "Bytes sent to mirrors", "kind", ("snapshot", "changes"))
CHECK_TIME = _row.timing("lostid_check_seconds", "From the complete request to its answer", 12, 20)
RECEIPT_TIME = _row.timing("lostid_receipt_seconds", "From a report's request to its receipt", 17, 20)
NAME = f"meters.{sha256(repr(_row.all).encode()).hexdigest()[:8]}"  # another layout is another file

STATUS_WORD = dict(zip(STATUSES, CHECKS.words, strict=True))
REFUSED = STATUS_WORD["refused"]
CODE_WORD = dict(zip(PROBLEMS.values, PROBLEMS.words, strict=True))
REASON_WORD = dict(zip(REPORTS.values, REPORTS.words, strict=True))
KIND_BATCH, KIND_CONTROL = KINDS.words
EXACT_CHECK, EXACT_BATCH = EXACT.words
CANARY_SEEN, CANARY_UNPROVEN, CANARY_MISSED = CANARY.words
ERROR_CHECK, ERROR_CONTROL, ERROR_TASK = ERRORS.words
SENT_SNAPSHOT, SENT_CHANGES = SENT.words
JOURNAL_WRITTEN, JOURNAL_LOST = JOURNAL.words


def behind_word(entries: int) -> int:
    return MIRRORS.start + bisect_left(_BEHIND, entries)


class Meters:
    """This worker's row, and the sum of all."""

    def __init__(self, run_dir: Path) -> None:
        self._fd = os.open(run_dir / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(self._fd).st_size < ROWS * ROW_BYTES:
            os.ftruncate(self._fd, ROWS * ROW_BYTES)
        self._all = memoryview(mmap.mmap(self._fd, ROWS * ROW_BYTES)).cast("Q")
        row = _take_row(self._fd)
        self._settle_the_dead(row)
        self.slots = self._all[row * _WORDS : (row + 1) * _WORDS]

    @property
    def journal_tally(self) -> memoryview:
        """Lines written and lost, for the journal to count in as they are: nothing is left to carry over when the
        worker is killed."""
        return self.slots[JOURNAL.start : JOURNAL.start + 2]

    def _settle_the_dead(self, own: int) -> None:
        """Each document checked is one line of the journal. What a row's last worker had taken and neither written nor
        counted as lost was in its memory when it was killed."""
        for row in range(ROWS):
            words = self._all[row * _WORDS : (row + 1) * _WORDS]
            left = sum(words[word] for word in CHECKS.words) - words[JOURNAL_WRITTEN] - words[JOURNAL_LOST]
            if left > 0 and (row == own or _lock_row(self._fd, row)):
                words[JOURNAL_LOST] += left
                if row != own:
                    fcntl.lockf(self._fd, fcntl.LOCK_UN, ROW_BYTES, row * ROW_BYTES)

    def add(self, word: int, more: int = 1) -> None:
        self.slots[word] += more

    def took(self, timing: Timing, ns: int) -> None:
        self.slots[timing.word(ns)] += 1
        self.slots[timing.sum] += ns

    def total(self, word: int) -> int:
        return sum(self._all[word::_WORDS])

    def collect(self) -> Iterator[Metric]:
        """For prometheus_client."""
        for what in _row.all:
            yield self._counter(what) if isinstance(what, Series) else self._histogram(what)

    def exposition(self, *gauges: Metric) -> bytes:
        """The text that Prometheus scrapes: the counters of all workers, and the gauges of this moment."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Once([*self.collect(), *gauges]))
        return generate_latest(registry)

    def _counter(self, series: Series) -> Metric:
        family = CounterMetricFamily(series.name, series.help, labels=[series.label])
        for value, word in zip(series.values, series.words, strict=True):
            family.add_metric([value], self.total(word))
        return family

    def _histogram(self, timing: Timing) -> Metric:
        family = HistogramMetricFamily(timing.name, timing.help)
        buckets, so_far = [], 0
        for place in range(timing.buckets):
            so_far += self.total(timing.start + place)
            buckets.append((f"{(1 << (timing.shift + place)) / 1e9:.9f}", so_far))
        so_far += self.total(timing.start + timing.buckets)
        family.add_metric([], [*buckets, ("+Inf", so_far)], self.total(timing.sum) / 1e9)
        return family


class _Once:
    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


def _take_row(fd: int) -> int:
    """The first row that no living worker counts in."""
    for row in range(ROWS):
        if _lock_row(fd, row):
            return row
    raise OSError("no row is free")


def _lock_row(fd: int, row: int) -> bool:
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, ROW_BYTES, row * ROW_BYTES)
    except OSError:
        return False
    return True
