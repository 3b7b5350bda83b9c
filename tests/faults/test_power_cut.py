"""A power cut: a receipt that was given, a secret that was used, a file that a customer keeps, are there afterwards.

The shim that cuts is tested first: what it would not take back could not be missed.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
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
from tests.faults.power_cut_server import Powered, PoweredServer
from tests.load import OFFICER, Load
from tests.serving import environment
from tests.waiting import wait_for

ENOUGH = 25
"""Receipts between two cuts: four threads, and the write-ahead log flushed for each."""

Run = Callable[..., dict[str, int]]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    root = tmp_path / "disk"
    root.mkdir()
    return root


@pytest.fixture
def run(disk: Path) -> Run:
    """Run a program on that disk; when it has said `done`, cut the power."""

    def run(program: str, *, seed: int | None = None, **variables: str) -> dict[str, int]:
        argv = [sys.executable, "-c", textwrap.dedent(program)]
        powered = Powered(disk, disk.parent / "attic", argv, cwd=disk, env={**environment(), **variables})
        try:
            assert powered.line() == b"done\n"
            return powered.cut(seed)
        finally:
            powered.end()

    return run


def found(disk: Path) -> dict[str, bytes]:
    return {str(path.relative_to(disk)): path.read_bytes() for path in disk.rglob("*") if path.is_file()}


PROLOGUE = """
    import os, time
    def write(name, text, sync=False, directory=False):
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        with open(name, "wb") as file:
            file.write(text)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        if directory:
            fd = os.open(os.path.dirname(name) or ".", os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)
    def done():
        print("done", flush=True)
        time.sleep(60)
"""


def test_contents(disk: Path, run: Run) -> None:
    """What is not synced is lost: what was appended, cut off, or written over what was there."""
    taken = run(
        PROLOGUE
        + """
    write("synced", b"x" * 2000, sync=True)
    write("not synced", b"x" * 2000)
    write("appended", b"x" * 700, sync=True)
    write("overwritten", b"x" * 2000, sync=True)
    write("cut off", b"x" * 2000, sync=True)
    write("written anew", b"x" * 2000, sync=True)
    write("twice", b"x" * 2000, sync=True)
    with open("appended", "ab", buffering=0) as file:
        file.write(b"y" * 700)
    fd = os.open("overwritten", os.O_RDWR)
    os.pwritev(fd, [b"y" * 500, b"y" * 200], 600)
    os.pwrite(fd, b"z" * 3000, 900)
    fd = os.open("twice", os.O_RDWR)
    os.pwrite(fd, b"y" * 700, 0)
    os.fdatasync(fd)
    os.pwrite(fd, b"z" * 700, 0)
    os.truncate("cut off", 100)
    write("written anew", b"y")
    done()
    """
    )
    whole = b"x" * 2000
    assert found(disk) == {
        "synced": whole,
        "appended": b"x" * 700,
        "overwritten": whole,
        "cut off": whole,
        "written anew": whole,
        "twice": b"y" * 700 + b"x" * 1300,
    }
    assert taken["files"] == 6


def test_names(disk: Path, run: Run) -> None:
    """A new name needs a sync of the file or its directory, a rename or a removal one of the directory."""
    run(
        PROLOGUE
        + """
    for folder in ("made", "synced"):
        os.mkdir(folder)
    write("first", b"1", sync=True, directory=True)
    os.mkdir("made later")
    write("made later/lost with its folder", b"1", sync=True)
    write("synced/removed for good", b"1", sync=True)
    os.unlink("synced/removed for good")
    write("synced/old", b"old", sync=True)
    write("synced/new", b"new", sync=True)
    os.rename("synced/new", "synced/old")
    write("synced/renamed without a sync of the file", b"1")
    os.rename("synced/renamed without a sync of the file", "synced/empty")
    write("synced/last", b"1", sync=True, directory=True)
    write("made/removed", b"1", sync=True)
    os.unlink("made/removed")
    write("made/old", b"old", sync=True)
    write("made/new", b"new", sync=True)
    os.rename("made/new", "made/old")
    done()
    """
    )
    assert found(disk) == {
        "first": b"1",
        "synced/old": b"new",
        "synced/empty": b"",
        "synced/last": b"1",
        "made/removed": b"1",
        "made/old": b"old",
        "made/new": b"new",
    }


def test_torn(disk: Path, run: Run) -> None:
    """By chance a cut takes sectors back, each for itself; what was synced stays."""
    run(
        PROLOGUE
        + """
    write("page", b"x" * 65_536, sync=True)
    fd = os.open("page", os.O_RDWR)
    os.pwrite(fd, b"y" * 32_768, 0)
    done()
    """,
        seed=7,
    )
    page = found(disk)["page"]
    sectors = [page[start : start + 512] for start in range(0, 65_536, 512)]
    assert set(sectors[:64]) == {b"x" * 512, b"y" * 512}
    assert set(sectors[64:]) == {b"x" * 512}


def test_secrets(disk: Path, run: Run) -> None:
    """A registry's secrets are on the disk before anything is made with them."""
    run(
        PROLOGUE
        + """
    from pathlib import Path
    from lostid.secrets import load_or_make
    write("noted", repr(load_or_make(Path("etc/secrets"), make=True).pepper.hex()).encode(), sync=True)
    done()
    """
    )
    assert found(disk)["noted"] == repr(load_or_make(disk / "etc" / "secrets", make=False).pepper.hex()).encode()


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
