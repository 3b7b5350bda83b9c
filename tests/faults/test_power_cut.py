"""A power cut: a receipt that was given, a secret that was used, a file that a customer keeps, are there afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from lostid.commands.trust import _seen
from lostid.engines import postgres
from lostid.engines.postgres import embedded_dsn
from lostid.engines.procs import stop
from lostid.secrets import load_or_make
from lostid_client.recheck import RecheckQueue
from tests.faults.power_cut_server import PROLOGUE, PoweredServer, Run, found
from tests.load import OFFICER, Load
from tests.waiting import wait_for

ENOUGH = 25
"""Receipts between two cuts."""


def test_secrets(disk: Path, run: Run) -> None:
    """A registry's secrets are on the disk before anything is made with them."""
    run(
        PROLOGUE
        + """
    from pathlib import Path
    from lostid.secrets import load_or_make
    write("noted", load_or_make(Path("etc/secrets"), make=True).pepper, sync=True)
    done()
    """
    )
    assert found(disk)["noted"] == load_or_make(disk / "etc" / "secrets", make=False).pepper


def test_checkpoint_of_an_auditor(disk: Path, run: Run) -> None:
    """`lostid log verify` remembers what it saw, also the second time: a log cut back after it would be found out."""
    run(
        PROLOGUE
        + """
    from pathlib import Path
    from lostid.commands.trust import _remember
    from lostid.log.checkpoint import Checkpoint
    for size in (1, 2):
        _remember(Path("state/lostid/log.json"), Checkpoint("log", size, bytes(32)))
    done()
    """
    )
    seen = _seen(disk / "state/lostid/log.json")
    assert seen is not None
    assert seen.size == 2


def test_queue_of_a_customer(disk: Path, run: Run) -> None:
    """A check that is to be made up for is in the queue once `put` has returned."""
    run(
        PROLOGUE
        + """
    from lostid_client.recheck import RecheckQueue
    queue = RecheckQueue("queue.sqlite", bytes(32))
    for n in range(3):
        queue.put({"n": n})
    done()
    """
    )
    queue = RecheckQueue(disk / "queue.sqlite", bytes(32))
    assert len(queue) == 3
    queue.close()


def test_receipt_of_a_bank(disk: Path, run: Run) -> None:
    """The receipt is on file before anybody is told to open the account."""
    run(
        PROLOGUE
        + """
    from pathlib import Path
    from lostid_client.models import read_answer
    from open_account import file_away
    file_away(Path("files/receipts"), "A-17", read_answer({"status": "clear"}, 0.0), {})
    done()
    """
    )
    assert '"A-17"' in (disk / "files/receipts/A-17.json").read_text()


def test_copies_of_programs(disk: Path, run: Run) -> None:
    """A copy of the engines' programs that has its name is complete: nobody would make it again."""
    run(
        PROLOGUE
        + """
    from pathlib import Path
    from lostid.engines.programs import _copy
    write("programs/postgres", b"x" * 5000, sync=True, directory=True)
    _copy(Path("programs"), ["postgres"], Path("copy"))
    write("somebody else's", b"1", sync=True, directory=True)
    done()
    """
    )
    assert found(disk)["copy/postgres"] == b"x" * 5000


@pytest.fixture
def server() -> Iterator[PoweredServer]:
    """A server of its own: it will lose its power."""
    server = PoweredServer(workers=1, log_public="on")
    try:
        yield server.start()
    finally:
        server.close()


@pytest.mark.timeout(300)
def test_receipts(server: PoweredServer, request: pytest.FixtureRequest) -> None:
    """From the very first start on: every receipt survives each cut, also one that leaves torn pages, and so does every
    checkpoint that somebody saw. On a disk that lies about its syncs receipts are lost, and that is found."""
    police = server.key("reporter", "checker", org="police", station="station-12", operator=OFFICER)
    hotel = server.key("checker", org="hotel")
    cuts: int = request.config.getoption("power_cuts", default=1)
    with Load(server, police, hotel, seed=11) as load:
        for n in range(cuts):
            more_receipts(load)
            seen, receipts = checkpoint(server), load.receipts.copy()
            server.cut(n or None)
            server.start()
            assert ids(receipts) <= reports_in(embedded_dsn(server.settings.place))
            assert continues(seen, checkpoint(server))
    load.verify()

    assert server.powered is not None
    server.powered.lie()
    with Load(server, police, hotel, seed=12) as promised:
        more_receipts(promised)
    server.cut()
    with cluster_of(server) as dsn:
        there = reports_in(dsn)
    assert ids(load.receipts) <= there
    assert ids(promised.receipts) - there


def more_receipts(load: Load) -> None:
    enough = len(load.receipts) + ENOUGH
    wait_for(lambda: len(load.receipts) >= enough, 60, f"{ENOUGH} receipts")


def ids(receipts: list[tuple[str, str]]) -> set[str]:
    return {id_ for _, id_ in receipts}


def reports_in(dsn: str) -> set[str]:
    with psycopg.connect(dsn) as conn:
        return {str(row[0]) for row in conn.execute("SELECT id FROM reports WHERE in_force_ms IS NOT NULL")}


@contextmanager
def cluster_of(server: PoweredServer) -> Iterator[str]:
    """The ledger of a server that will not be started again."""
    cluster = postgres.prepare(server.settings.data_dir, server.settings.place)
    child = cluster.start()
    try:
        wait_for(lambda: cluster.ready(child), 20, "the ledger")
        yield cluster.dsn
    finally:
        stop(child, *cluster.stops_with)


def checkpoint(server: PoweredServer) -> tuple[int, str]:
    """Size and root of the tree, as last signed."""
    note = httpx.get(f"{server.url}/v1/log/checkpoint").text.splitlines()
    return int(note[1]), note[2]


def continues(seen: tuple[int, str], now: tuple[int, str]) -> bool:
    """Nobody who holds the earlier checkpoint would call the later one a fork; of proofs the tests of the log speak."""
    return now[0] > seen[0] or now == seen
