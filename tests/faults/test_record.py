"""The record of a run means to the history checker what was seen, also after it was on disk."""

from pathlib import Path

from tests.faults.history import CheckSeen, FinalState, ReportSeen, judge
from tests.faults.record import CLEAR, LATE, NONE, REFUSED, Record


def a_record() -> Record:
    record = Record()
    told, unknown = record.report(7, 1.0), record.report(8, 1.5)
    record.receipt(told, 2.0)
    assert unknown == 1
    record.withdrawal(told, 3.0)
    record.withdrawn(told, 4.0)
    for document, answer in ((7, CLEAR), (7, REFUSED), (7, NONE), (8, REFUSED), (7, LATE)):
        record.check(document, 1.9, 2.75, answer, 0)
    record.final(7, True)
    record.told["unexpected"] = []
    return record


def test_there_and_back(tmp_path: Path) -> None:
    """Nothing is lost on disk."""
    a_record().save(tmp_path / "history.npz")
    found = Record.load(tmp_path / "history.npz")
    assert list(found.reports_seen()) == [ReportSeen("7", 1.0, 2.0, 3.0, 4.0), ReportSeen("8", 1.5, None)]
    assert list(found.finals_seen()) == [FinalState("7", True)]
    answers = [check.clear for check in found.checks_seen()]
    assert answers == [True, False, None, False, True]
    assert found.told == {"unexpected": []}


def test_late_answers(tmp_path: Path) -> None:
    """An answer past its `fresh_for_ms` can be stale, but nobody acts on it: it makes no tail."""
    record = Record()
    record.receipt(record.report(7, 1.0), 2.0)
    record.check(7, 1.9, 5.0, LATE, 0)
    record.check(7, 2.1, 5.0, LATE, 0)
    assert judge(record.reports_seen(), record.checks_seen()).stale == [CheckSeen("7", 2.1, 5.0, True)]
    assert judge(record.reports_seen(), record.checks_seen(acted_on=True)).longest_tail == 0.0
    assert len(list(record.checks_seen(when=lambda at: at > 2.0))) == 1
