"""How a host comes to its filter: warm, from nothing, from one that is full. Nothing is lost on any of these roads."""

import os
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from lostid.domain.position import Position
from lostid.filter.generation import path_of
from lostid.filter.header import HEADER_BYTES, Identity
from lostid.filter.page import PAGE_NAME, Phase
from lostid.ledger.statement import Conn
from lostid.replication.rebuilding import Order, Step
from tests.replication import slow
from tests.replication.hosting import Host, report, until


def keys(count: int) -> list[bytes]:
    return [secrets.token_bytes(16) for _ in range(count)]


@contextmanager
def covers_locked(dsn: str) -> Iterator[Conn]:
    """Whoever reads the covers has to wait; entries go on, they only add to them."""
    with psycopg.connect(dsn) as conn:
        conn.execute("LOCK TABLE covers IN ACCESS EXCLUSIVE MODE")
        yield conn


def gen(host: Host) -> int:
    return host.page().gen()


def test_from_nothing(host: Host, conn: Conn) -> None:
    """Everything that was reported before the host came into being is in its filter, in entries small and large."""
    before = keys(3_000)
    for key in before[:20]:
        report(conn, key)
    last = report(conn, *before[20:])
    host.start()
    host.ready(last.seq)
    assert host.told(*before)


def test_made_big_enough(host: Host, conn: Conn) -> None:
    """A ledger that outgrew the capacity of the settings is no surprise: the first filter has room for it."""
    before = keys(3_000)
    last = report(conn, *before)
    host.start(capacity=1_000)
    host.ready(last.seq)
    view = host.view()
    view.current()
    assert view.generation.sizing.capacity == 4_000
    assert host.told(*before)


def test_warm(host: Host, conn: Conn) -> None:
    """Killed and started again: the same filter, and the entries of the time between."""
    first = keys(3)
    host.start()
    host.ready(report(conn, *first).seq)
    began = gen(host)
    host.kill()
    second = keys(2)
    last = report(conn, *second)
    host.start()
    host.ready(last.seq)
    assert gen(host) == began
    assert host.told(*first, *second)


def test_damaged_in_use(host: Host, conn: Conn) -> None:
    """A filter that loses its bits while it is in use loses its lease within a second, and is made anew.

    However long that takes: the damage is found once, not again and again until the build is given up.
    """
    slow.go_on(host.run_dir).parent.mkdir(mode=0o700, exist_ok=True)
    slow.go_on(host.run_dir).touch()
    reported = keys(5)
    host.start("tests.replication.slow")
    host.ready(report(conn, *reported).seq)
    slow.go_on(host.run_dir).unlink()
    slow.taken(host.run_dir).unlink()
    began = gen(host)
    with path_of(host.run_dir, began).open("r+b") as f:
        f.seek(HEADER_BYTES)
        f.write(bytes(path_of(host.run_dir, began).stat().st_size - HEADER_BYTES))
    until(slow.taken(host.run_dir).exists)
    assert host.page().lease_until() == 0
    assert host.replica is not None
    builder = children(host.replica.pid)
    time.sleep(2.2)  # two more looks at the canaries
    assert children(host.replica.pid) == builder
    slow.go_on(host.run_dir).touch()
    until(lambda: gen(host) != began)
    host.ready(2)
    assert host.told(*reported)


def test_page_lost(host: Host, conn: Conn) -> None:
    """A filter without its page is believed as far as its own header says, and brought up to date from there."""
    reported = keys(5)
    host.start()
    host.ready(report(conn, *reported[:3]).seq)
    began = gen(host)
    host.kill()
    (host.run_dir / PAGE_NAME).unlink()
    last = report(conn, *reported[3:])
    host.start()
    host.ready(last.seq)
    assert gen(host) == began
    assert host.told(*reported)


def test_says_what_it_does(host: Host, conn: Conn, ledger_dsn: str) -> None:
    """While a filter is made the page says so, there is no lease, and nothing is answered."""
    report(conn)
    with covers_locked(ledger_dsn):
        host.start()
        until(lambda: host.phase() is Phase.REBUILDING)
        assert host.answers(b"k" * 16) is None
    host.ready(2)


def test_builder_dies_too(host: Host, ledger_dsn: str) -> None:
    """The process that makes a filter ends with the replica that ordered it, even by kill -9."""
    with covers_locked(ledger_dsn):
        replica = host.start()
        until(lambda: host.phase() is Phase.REBUILDING)
        until(lambda: len(children(replica.pid)) == 1)
        (builder,) = children(replica.pid)
        host.kill()
        until(lambda: not alive(builder))


def test_builder_killed(host: Host, conn: Conn, ledger_dsn: str) -> None:
    """A build that failed is begun again."""
    with covers_locked(ledger_dsn):
        replica = host.start()
        until(lambda: len(children(replica.pid)) == 1)
        os.kill(children(replica.pid)[0], signal.SIGKILL)
    host.ready(report(conn, b"k" * 16).seq)
    assert host.told(b"k" * 16)


def test_grows(host: Host, conn: Conn) -> None:
    """A full filter is replaced by one of double capacity, while reports come in and the host goes on answering.

    Not one of them is ever clear: not before the flip, at it, or after.
    """
    host.start(capacity=1_000)
    reported = keys(780)
    host.ready(report(conn, *reported).seq)
    began, view, at = gen(host), host.view(), 0
    give_up = time.monotonic() + 20
    while gen(host) == began:
        assert time.monotonic() < give_up
        reported += keys(1)
        at = report(conn, reported[-1]).seq
        until(lambda at=at: host.has(at))  # type: ignore[misc]  # bound at once
        assert all(map(view.current(), reported))
    host.ready(at)
    assert all(map(view.current(), reported))
    assert view.generation.sizing.capacity == 2_000
    assert host.told(*reported)
    assert [path.name for path in host.run_dir.glob("filter.*")] == [f"filter.{gen(host)}"]


def test_growth_carries(host: Host, conn: Conn) -> None:
    """What is applied after the build's snapshot was taken is carried over, and the lease never ends meanwhile."""
    host.start("tests.replication.slow", capacity=1_000)
    slow.go_on(host.run_dir).parent.mkdir(mode=0o700, exist_ok=True)
    slow.go_on(host.run_dir).touch()
    reported = keys(780)
    host.ready(report(conn, *reported).seq)
    slow.go_on(host.run_dir).unlink()
    slow.taken(host.run_dir).unlink()
    began = gen(host)
    reported += keys(60)
    report(conn, *reported[-60:])
    until(slow.taken(host.run_dir).exists)
    assert host.phase() is Phase.GROWING
    for _ in range(20):
        reported += keys(1)
        host.ready(report(conn, reported[-1]).seq)
    assert gen(host) == began
    slow.go_on(host.run_dir).touch()
    until(lambda: gen(host) != began)
    until(host.leased)
    assert host.told(*reported)


def test_order() -> None:
    """What replica and builder tell one another comes out as it went in."""
    at = Position(7, b"\x00" * 31 + b"\xff")
    for contains in (None, at):
        order = Order(Path("/run dir/é"), Identity(3, b"k" * 8, b"b" * 16), 1_000, contains is None, contains)
        assert Order.load(order.dump()) == order
    for step in (Step(0.25), Step(1.0, at)):
        assert Step.load(step.dump()) == step


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
