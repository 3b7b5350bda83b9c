"""The decision on a check, without a server: a page, a filter and a clock that the test turns.

The order of the steps is what promise G1 stands on (I4), so each test moves one thing between two of them."""

import asyncio
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from lostid.api import checks
from lostid.api import steps as hot
from lostid.api.meters import CHECK_TIME
from lostid.api.problems import Answer
from lostid.domain.covers import Cover, CoverKind
from lostid.domain.instance import Instance
from lostid.domain.position import Position
from lostid.domain.record import Record
from lostid.filter.page import boottime_ns
from lostid.ledger.apikeys import KeyTable
from lostid.ledger.errors import LedgerDown
from lostid.ledger.lines import Line
from lostid.registry.lookup import FreshnessUnproven
from tests.api.deciding import ALL, BODY, HEADERS, LEASE_NS, NUMBER, SECRET, Host, key_of
from tests.api.serving import check_of, person


@pytest.fixture
async def host(tmp_path: Path) -> Host:
    made = Host(tmp_path)
    await made.keys.refresh(1, 5)
    return made


@pytest.fixture
def turned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The clock of the decision: its one value, changed by hand."""
    now = [boottime_ns()]
    for module in (checks, hot):
        monkeypatch.setattr(module, "boottime_ns", lambda: now[0])
    return now


async def test_clear_at_once(host: Host) -> None:
    """A filter miss is answered without giving the loop away, and journalled."""
    outcome = host.checks.check(HEADERS, BODY)
    assert isinstance(outcome, Answer)
    assert msgspec.json.decode(outcome.body)["status"] == "clear"
    assert host.journal.waiting == 1
    assert sum(host.meters.slots[CHECK_TIME.start : CHECK_TIME.sum]) == 1


async def test_positive_is_confirmed(host: Host) -> None:
    """A filter positive is whatever the exact record says, also clear."""
    key = host.report()
    assert (await host.check())[1]["status"] == "reported"
    host.exact.record = Record()
    assert (await host.check())[1]["status"] == "clear"
    assert host.exact.asked == [key, key]


@pytest.mark.parametrize("batch", [False, True])
async def test_lease_over(host: Host, batch: bool) -> None:
    """No lease, no answer: clear or not."""
    body = as_batch() if batch else BODY
    for until in (0, boottime_ns() - 1):
        host.writer.grant(until)
        assert (await host.check(body, batch=batch))[1]["code"] == "freshness_unproven"
    assert host.journal.waiting == 0


def as_batch(documents: int = 3) -> bytes:
    document = {"type": "cn.resident-id", "number": NUMBER}
    return msgspec.json.encode({"operator": "o", "purpose": "other", "checks": [{"document": document}] * documents})


async def test_fresh_for(host: Host, turned: list[int]) -> None:
    """What is left of the lease, rounded down; at the very end nothing, and then no answer."""
    for left_ns, told in ((812_999_999, 812), (1_000_000, 1), (999_999, 0), (1, 0)):
        host.writer.grant(turned[0] + left_ns)
        assert (await host.check())[1]["fresh_for_ms"] == told
    host.writer.grant(turned[0])
    assert (await host.check())[0] == 503


async def test_clock_after_the_look_up(host: Host, turned: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease that ends while the filter is asked is not believed."""
    host.writer.grant(turned[0] + 100)

    def slow(_: bytes) -> bool:
        turned[0] += 100
        return False

    monkeypatch.setattr(host.checks.view, "current", lambda: slow)
    assert (await host.check())[1]["code"] == "freshness_unproven"


async def test_lease_before_the_look_up(host: Host, turned: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease granted after the look-up vouches for what was not looked at: it is not the one that counts."""
    host.writer.grant(turned[0] + 100)

    def renewed(_: bytes) -> bool:
        turned[0] += 100
        host.writer.grant(turned[0] + LEASE_NS)
        return False

    monkeypatch.setattr(host.checks.view, "current", lambda: renewed)
    for body, batch in ((BODY, False), (as_batch(1), True)):
        host.writer.grant(turned[0] + 100)
        assert (await host.check(body, batch=batch))[1]["code"] == "freshness_unproven"


async def test_clock_after_the_exact_record(host: Host, turned: list[int]) -> None:
    """Nor is a lease that ended while the exact record was fetched, though it was renewed meanwhile."""
    host.report()
    host.writer.grant(turned[0] + 100)

    def later() -> None:
        turned[0] += 100
        host.writer.grant(turned[0] + LEASE_NS)

    host.exact.meanwhile = later
    for body, batch in ((BODY, False), (as_batch(1), True)):
        host.writer.grant(turned[0] + 100)
        assert (await host.check(body, batch=batch))[1]["code"] == "freshness_unproven"


async def test_batch_gives_way(host: Host) -> None:
    """A thousand documents let others have a turn, and are answered with one lease and one clock."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    status, told = await host.check(as_batch(1000), batch=True)
    beside.cancel()
    assert (status, len(told["results"])) == (200, 1000)
    assert turns >= 4


@pytest.mark.parametrize("wrong", [FreshnessUnproven("x"), LedgerDown("x"), RuntimeError(NUMBER)])
async def test_unproven(host: Host, wrong: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever fails on the way to the exact record: no answer, and never a word of what was asked."""
    host.report()
    host.exact.record = wrong
    status, told = await host.check()
    assert (status, told["code"]) == (503, "freshness_unproven")
    said = capsys.readouterr()
    assert NUMBER not in said.err + said.out + str(told)


async def test_halted(host: Host) -> None:
    """Once a canary was clear, this worker answers nothing."""
    host.checks.halted = True
    assert (await host.check())[1]["code"] == "freshness_unproven"


async def test_starting(host: Host) -> None:
    """Without a page, or without the keys, the server is starting."""
    host.checks.view, view = None, host.checks.view
    assert (await host.check())[1]["code"] == "starting"
    host.checks.view = view
    host.keys.loaded = False
    assert (await host.check())[1]["code"] == "starting"


async def test_keys_first(host: Host) -> None:
    """A key is judged by a table at least as new as the page demands, which the ledger must then give."""
    host.table = KeyTable(True, {sha256(SECRET.encode()).digest(): key_of("checker", revoked_seq=6)})
    assert (await host.check())[0] == 200
    host.writer.set_auth_seq(6)
    host.writer.publish(Position(6, b"i" * 32))
    assert (await host.check())[1]["code"] == "key_revoked"
    assert host.loads == 2
    assert (await host.check())[1]["code"] == "key_revoked"
    assert host.loads == 2
    host.writer.set_auth_seq(7)
    host.writer.publish(Position(7, b"j" * 32))
    host.table = KeyTable(False, host.table.by_secret)  # the ledger that is asked does not have it
    assert (await host.check())[1]["code"] == "freshness_unproven"


async def test_reasons_from_the_ledger(host: Host) -> None:
    """A key that is told reasons is answered from the ledger, which proves its position too or does not answer."""
    secret = sha256(SECRET.encode()).digest()
    host.table = KeyTable(True, {secret: key_of("checker", "reporter")})
    await host.keys.reload()
    key = host.report()
    host.records = {key: ALL}
    told = (await host.check())[1]
    assert (told["status"], told["reason"], told["effective_at"]) == ("reported", "lost", "1970-01-01T00:00:00.000Z")
    for unproven in (None, LedgerDown("x")):
        host.records = unproven
        assert (await host.check())[1]["code"] == "freshness_unproven"


async def test_no_reasons_for_checkers(host: Host) -> None:
    """Who is not told reasons is not told them either where the ledger, which has them, stood in for Redis."""
    host.report()
    host.exact.record = ALL
    for answer in ((await host.check())[1], (await host.check(as_batch(1), batch=True))[1]["results"][0]):
        assert answer["status"] == "reported"
        assert not {"reason", "effective_at"} & answer.keys()


async def test_crowd(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than so many that wait for an exact record are told to come back; whom the filter clears is answered."""
    monkeypatch.setattr(hot, "MOST_WAITING", 2)
    host.report()
    answers = await asyncio.gather(*(host.check() for _ in range(5)))
    assert (
        sorted(str(told.get("code", told.get("status"))) for _, told in answers)
        == ["overloaded"] * 3 + ["reported"] * 2
    )
    other = msgspec.json.encode(check_of({"type": "cn.resident-id", "number": person()}))
    assert (await host.check(other))[1]["status"] == "clear"


async def test_journal(host: Host) -> None:
    """Each document asked about has its line; a refused number has one without a key."""
    host.report()
    await host.check()
    await host.check(BODY.replace(NUMBER.encode(), b"1"))
    body = msgspec.json.decode(as_batch(2))
    body["checks"].append({"document": {"type": "cn.x", "number": "1"}, "reference": "r-9"})
    await host.check(msgspec.json.encode(body), batch=True)
    lines = host.journal.lines
    (batch,) = host.journal.batches
    assert {len(line) for line in lines} == {len(Line._fields)}
    assert [(line.status, line.item, line.doc_key is None, line.reference) for line in lines] == [
        ("reported", 0, False, None),
        ("length", 0, True, None),
    ]
    told = [("reported", False, None), ("reported", False, None), ("type_unknown", True, "r-9")]
    assert [(status, key is None, reference) for key, status, reference in batch.items] == told
    assert (host.journal.waiting, host.journal.lost) == (5, 0)


def test_serials_are_tagged(tmp_path: Path) -> None:
    """A licence's serial is compared by its tag under the document's own key."""
    host = Host(tmp_path)
    key = b"k" * 16
    instance = Instance(serial="3100000000001")
    tag = host.keyring.serial_tag(key, "3100000000001")
    only = Record((("rpt_1", Cover(CoverKind.ONLY, None, tag, False, False, "lost", 0)),))
    asker = key_of("checker")
    assert host.checks._decide(only, instance, key, asker)[0] == "reported"
    assert host.checks._decide(only, instance, b"l" * 16, asker)[0] == "clear"
