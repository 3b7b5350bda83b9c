"""A round's report says what its record holds; nothing broken passes for kept."""

from tests.faults.record import CLEAR, LATE, NONE, REFUSED, Record
from tests.faults.report import Findings, judged
from tests.faults.schedule import Played

FAULTS = [
    Played("kill", "A/_worker", 2.0, 4.0),
    Played("pause", "valkey", 3.0, 5.0),
    Played("guest", "", 9.0, 9.5, "no"),
]


def honest() -> Record:
    """Card 1 is reported (receipt at 2.5), card 2 perhaps, card 3 never."""
    record = Record()
    record.receipt(record.report(1, 2.0), 2.5)
    record.report(2, 2.0)
    for document, invoked, completed, answer, host in (
        (1, 1.0, 1.1, CLEAR, 0),
        (1, 2.4, 2.9, CLEAR, 0),  # in flight: its tail is 0.4
        (1, 2.6, 2.7, REFUSED, 1),
        (1, 3.4, 3.5, NONE, 1),
        (1, 3.45, 3.5, REFUSED, 2),  # at the guest: no part of availability
        (2, 3.0, 3.1, REFUSED, 0),
        (3, 3.0, 3.1, CLEAR, 0),
        (3, 2.45, 9.0, LATE, 0),
    ):
        record.check(document, invoked, completed, answer, host)
    record.final(1, True)
    counts = ("replayed", "withdrawn", "imports", "imported", "revoked", "asked_with_revoked")
    record.told = {"receipts": 1, **dict.fromkeys(counts, 0), "unexpected": []}
    return record


def test_honest() -> None:
    found = judged(honest(), FAULTS, 7, 60.0)
    assert found.kept
    assert (found.checked, found.unanswered, found.refused, found.late) == (6, 1, 3, 1)
    assert (found.reports, found.receipts, found.unknown) == (2, 1, 1)
    assert (found.opportunities, found.in_faults) == (2, 2)
    assert (found.faults, found.not_played) == ({"kill": 1, "pause": 1}, {"guest": 1})
    assert round(found.longest_tail, 3) == 0.4
    assert "every promise was kept" in found.lines()


def test_broken() -> None:
    """One violation of each kind, one by one."""
    stale, phantom, lost, tail, odd = (honest() for _ in range(5))
    stale.check(1, 2.55, 9.0, LATE, 0)  # sent after the receipt: wrong, however late it came
    phantom.check(3, 4.0, 4.1, REFUSED, 0)
    lost.final(1, False)
    tail.check(1, 2.45, 3.6, CLEAR, 0)
    odd.told["unexpected"] = ["a check was answered 500 None"]
    found = [judged(record, FAULTS, 7, 60.0) for record in (stale, phantom, lost, tail, odd)]
    assert [(one.stale, one.phantom, one.lost) for one in found] == [
        (1, 0, 0),
        (0, 1, 0),
        (0, 0, 1),
        (0, 0, 0),
        (0, 0, 0),
    ]
    assert not any(one.kept for one in found)
    assert "A PROMISE WAS BROKEN" in found[0].lines()


def test_nothing_seen_is_nothing_kept() -> None:
    assert not Findings().kept
    assert Findings().lines().endswith("nothing was seen")


def test_sum() -> None:
    """Rounds add up; the longest tail is the longest of any."""
    total = Findings()
    for seed in (7, 8):
        total.add(judged(honest(), FAULTS, seed, 60.0))
    assert (total.seeds, total.minutes, total.checked, total.faults["kill"]) == ([7, 8], 2.0, 12, 2)
    assert round(total.longest_tail, 3) == 0.4
    assert total.told()["kinds"] == 2
