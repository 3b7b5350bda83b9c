"""A report whose worker dies at any of its steps, or does not learn what became of its commit, is asked for again with
the same Idempotency-Key on the other host: one entry, one receipt, nothing that was said is taken back."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from lostid.commands.seed import people
from lostid.secrets import load_or_make
from lostid_client import verify_receipt
from tests.faults import failpoint_front
from tests.faults.failpoint_pair import (
    Heard,
    Host,
    Listens,
    Pair,
    Report,
    new_key,
    send,
    send_until_answered,
    status_of,
)
from tests.faults.failpoints import CRASH, HOLD, UNKNOWN, Point
from tests.waiting import wait_for

pytestmark = pytest.mark.timeout(300)  # starts four servers' worth of processes on a machine that may be busy
BEFORE_THE_COMMIT = (Point.PARSED, Point.AUTHORISED)
QUICK = (Point.COMMITTED, Point.FENCE_PASSED, Point.HALF_SENT)
QUICK_BEHIND_THE_FRONT = (Point.COMMITTED, Point.HALF_SENT)
"""Each costs the start of a worker."""
MOST_ASKED = 20


@pytest.fixture(scope="module")
def pair(postgres_dsn: str, valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    secrets = tmp_path_factory.mktemp("pair") / "secrets"
    load_or_make(secrets, make=True)
    settings = {"database_url": postgres_dsn, "redis_url": valkey_url, "secrets_dir": str(secrets)}
    with Host(**settings) as fails, Host(**settings) as other:
        yield Pair(fails, other, postgres_dsn, asyncio.run(new_key(postgres_dsn)))


@pytest.fixture(scope="module")
def numbers() -> Iterator[str]:
    return people(23)


@pytest.fixture
def report(numbers: Iterator[str]) -> Report:
    return Report(next(numbers))


def one_of_each(pair: Pair, report: Report, heard: Heard) -> None:
    """Whatever was asked how often: one entry, one report, one answer, one receipt, and a card that is refused."""
    assert heard.status == 201, heard.body
    again = [send_until_answered(host, pair.reporter, report) for host in (pair.fails, pair.other)]
    assert {(answer.status, answer.body, answer.replayed) for answer in again} == {(201, heard.body, True)}
    told = heard.told
    with psycopg.connect(pair.dsn) as conn:
        entries = conn.execute(
            "SELECT seq FROM entries WHERE convert_from(body, 'UTF8')::jsonb #>> '{facts,case_number}' = %s",
            (report.case,),
        ).fetchall()
        rows = conn.execute("SELECT id, seq FROM reports WHERE case_number = %s", (report.case,)).fetchall()
        answers = conn.execute("SELECT answer FROM writes WHERE seq = %s", (told["seq"],)).fetchall()
    assert entries == [(told["seq"],)]
    assert rows == [(told["id"], told["seq"])]
    assert answers == [(heard.body,)]
    keys = pair.other.ask("GET", "/.well-known/jwks.json")[1]
    claims = verify_receipt(told["receipt"], keys)
    assert (claims["jti"], claims["seq"], claims["case_number"]) == (told["id"], told["seq"], report.case)
    for host in (pair.fails, pair.other):
        assert status_of(host, pair.reporter, report) == "reported"


@pytest.mark.parametrize("point", [pytest.param(p, marks=() if p in QUICK else pytest.mark.long) for p in Point])
def test_crash(pair: Pair, report: Report, point: Point) -> None:
    """The worker dies there. The caller heard nothing, or the beginning of the one answer that there is."""
    pair.fails.wait_until_ready()
    pair.fails.plans.make(point, CRASH)
    first = send(pair.fails, pair.reporter, report)
    assert pair.fails.plans.taken(point)
    assert first.status == 0
    assert entered(pair, report) is (point not in BEFORE_THE_COMMIT)
    heard = send_until_answered(pair.other, pair.reporter, report)
    assert heard.replayed is (point in (Point.STORED, Point.HALF_SENT))
    assert heard.body.startswith(first.body)
    assert bool(first.body) is (point is Point.HALF_SENT)
    one_of_each(pair, report, heard)


@pytest.mark.parametrize(
    "point", [pytest.param(p, marks=() if p in QUICK_BEHIND_THE_FRONT else pytest.mark.long) for p in Point]
)
def test_crash_behind_the_front(pair: Pair, numbers: Iterator[str], tmp_path: Path, point: Point) -> None:
    """The recommended front asks the other host by itself. Only where half of the answer had left does the caller have
    to ask again; in no case does anybody hear two things."""
    pair.fails.wait_until_ready()
    with failpoint_front.before(pair, tmp_path) as front:
        wait_for(lambda: front.hosts_ready() == 2, 30, "both hosts to have told the front")
        pair.fails.plans.make(point, CRASH)
        report, heard = sent_through(front, pair, numbers, point)
        if point is Point.HALF_SENT:
            first, heard = heard, send_until_answered(front, pair.reporter, report)
            assert first.status == 0
            assert first.body
            assert heard.body.startswith(first.body)
        one_of_each(pair, report, heard)


def sent_through(front: Listens, pair: Pair, numbers: Iterator[str], point: Point) -> tuple[Report, Heard]:
    """The report that came to this point, and what was heard of it. The front takes either host."""
    for _ in range(MOST_ASKED):
        report = Report(next(numbers))
        heard = send(front, pair.reporter, report)
        if pair.fails.plans.taken(point):
            return report, heard
        assert heard.status == 201, heard
    raise AssertionError(f"none of {MOST_ASKED} reports came to {point}")


def test_asked_twice_at_once(pair: Pair, report: Report) -> None:
    """The caller did not wait, asked the other host and was answered. The first host, which was slow to store its own
    answer, sends that one."""
    heard: list[Heard] = []
    pair.fails.wait_until_ready()
    pair.fails.plans.make(Point.SIGNED, HOLD)
    caller = threading.Thread(target=lambda: heard.append(send(pair.fails, pair.reporter, report)))
    caller.start()
    wait_for(lambda: pair.fails.plans.taken(Point.SIGNED), 30, "the first host has its answer")
    other = send_until_answered(pair.other, pair.reporter, report)
    pair.fails.plans.release(Point.SIGNED)
    caller.join()
    assert not other.replayed
    assert heard == [replace(other, replayed=True)]
    one_of_each(pair, report, other)


def entered(pair: Pair, report: Report) -> bool:
    with psycopg.connect(pair.dsn) as conn:
        return bool(conn.execute("SELECT FROM reports WHERE case_number = %s", (report.case,)).fetchall())


def test_crash_while_the_entry_is_written(pair: Pair, report: Report) -> None:
    """The statement was sent, its worker is dead before it is committed: the ledger goes on with it alone."""
    pair.fails.wait_until_ready()
    with head_locked(pair) as writer:
        caller = threading.Thread(target=send, args=(pair.fails, pair.reporter, report))
        caller.start()
        wait_for(lambda: writer() is not None, 30, "a writer waits for the head")
        (worker,) = pair.fails.children("_worker")
        os.kill(worker, signal.SIGKILL)
        caller.join()
        assert not entered(pair, report)
    one_of_each(pair, report, send_until_answered(pair.other, pair.reporter, report))


def test_connection_lost_while_the_entry_is_written(pair: Pair, report: Report) -> None:
    """Its connection is ended by the ledger: the worker cannot know what became of the commit, and does not say."""
    pair.fails.wait_until_ready()
    heard: list[Heard] = []
    with head_locked(pair) as writer:
        caller = threading.Thread(target=lambda: heard.append(send(pair.fails, pair.reporter, report)))
        caller.start()
        wait_for(lambda: writer() is not None, 30, "a writer waits for the head")
        with psycopg.connect(pair.dsn, autocommit=True) as conn:
            conn.execute("SELECT pg_terminate_backend(%s)", (writer(),))
        caller.join()
    assert (heard[0].status, heard[0].told["code"]) == (503, "ledger_unavailable")
    one_of_each(pair, report, send_until_answered(pair.other, pair.reporter, report))


@contextmanager
def head_locked(pair: Pair) -> Iterator[Callable[[], int | None]]:
    """Nothing is committed meanwhile. Yields what tells the backend that waits for it to write a report."""

    def writer() -> int | None:
        with psycopg.connect(pair.dsn, autocommit=True) as conn:
            found = conn.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name = 'lostid-reports' AND wait_event_type = 'Lock'"
            ).fetchone()
        return None if found is None else int(found[0])

    with psycopg.connect(pair.dsn) as conn:
        conn.execute("SELECT FROM head FOR UPDATE")
        yield writer


def test_reply_to_the_commit_lost(pair: Pair, report: Report) -> None:
    """Committed, and nobody was told: 503, and the repeat finds it."""
    pair.fails.plans.make(Point.COMMITTED, UNKNOWN)
    first = send(pair.fails, pair.reporter, report)
    assert (first.status, first.told["code"]) == (503, "ledger_unavailable")
    assert entered(pair, report)
    heard = send_until_answered(pair.other, pair.reporter, report)
    assert not heard.replayed
    one_of_each(pair, report, heard)


def test_not_yet_in_force(pair: Pair, report: Report) -> None:
    """The ledger goes away between the commit and the fence: recorded, its id is told, and that is the id later."""
    first = lost_at(pair, report, Point.COMMITTED)
    assert (first.status, first.told["code"]) == (503, "not_yet_in_force")
    assert entered(pair, report)
    heard = send_until_answered(pair.other, pair.reporter, report)
    assert heard.told["id"] == first.told["id"]
    one_of_each(pair, report, heard)


def test_ledger_unavailable(pair: Pair, report: Report) -> None:
    """The ledger goes away before the entry is written: nothing was recorded, and nothing is said to be."""
    first = lost_at(pair, report, Point.PARSED)
    assert (first.status, first.told["code"]) == (503, "ledger_unavailable")
    assert "id" not in first.told
    assert not entered(pair, report)
    one_of_each(pair, report, send_until_answered(pair.other, pair.reporter, report))


def lost_at(pair: Pair, report: Report, point: Point) -> Heard:
    """What is heard of a report during which, at that point, the ledger takes no connection any more."""
    heard: list[Heard] = []
    pair.fails.wait_until_ready()
    pair.fails.plans.make(point, HOLD)
    caller = threading.Thread(target=lambda: heard.append(send(pair.fails, pair.reporter, report)))
    caller.start()
    wait_for(lambda: pair.fails.plans.taken(point), 30, f"{point} is reached")
    with ledger_away(pair.dsn):
        pair.fails.plans.release(point)
        caller.join()
    return heard[0]


@contextmanager
def ledger_away(dsn: str) -> Iterator[None]:
    database = str(conninfo_to_dict(dsn)["dbname"])
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    with psycopg.connect(make_conninfo(dsn, dbname="postgres"), autocommit=True) as conn:
        conn.execute(allow.format(sql.Identifier(database), sql.SQL("false")))
        conn.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (database,))
        try:
            yield
        finally:
            conn.execute(allow.format(sql.Identifier(database), sql.SQL("true")))
