"""The load test against a real registry."""

import contextlib
import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lostid_load.__main__ import main
from tests.serving import Server

Run = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def run(server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run a scenario against the served registry; (exit code, result)."""
    monkeypatch.setenv("LOSTID_KEY", server.key("checker", org="load"))
    reporter = server.key("reporter", org="load", station="load", operator="load-1")
    monkeypatch.setenv("LOSTID_REPORTER_KEY", reporter)

    def with_(plan: str, *arguments: str) -> tuple[int, dict[str, Any]]:
        file = tmp_path / "small.toml"
        file.write_text(plan)
        code = main([str(file), "--url", server.url, "--out", str(tmp_path / "out"), "--json", *arguments])
        return code, json.loads(capsys.readouterr().out)

    return with_


PLAN = """
about = "Small."
seed = 1
connections = 4
reported = 20
replaced = 10
reports_per_second = 5
probes = 2
thresholds = ["wrong==0", "failed==0"]
[mix]
unreported = 0.6
reported = 0.2
replaced = 0.1
no_instance = 0.1
[[steps]]
rate = 100
seconds = 3
"""


def test_right_answers(run: Run, tmp_path: Path) -> None:
    """Reports among checks, twice on one server: all answered, none wrong, and all that is to be written is."""
    for _ in range(2):
        code, result = run(PLAN)
        figures = result["figures"]
        assert (code, figures["wrong"], figures["failed"], figures["unfinished"]) == (0, 0, 0, 0)
        assert figures["answered"] > 200
        assert figures["reports"] > 3
        # No probe of a card ends before its report is in force, and each has had an answer.
        assert figures["probes"] >= 2 * figures["reports"]
        assert 0 < figures["everywhere_p50"] <= figures["everywhere_pmax"]
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"small.json", "small.html", "small.hgrm"}
    page = (tmp_path / "out" / "small.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "until 2 connections were refused" in page
    assert "http" not in page  # it needs nothing from anywhere


@pytest.fixture
def slow_drivers() -> Iterator[None]:
    """Every driver process stands still for a moment, again and again."""
    ended = threading.Event()

    def hold() -> None:
        while not ended.wait(0.1):
            drivers = [child.pid for child in multiprocessing.active_children() if child.pid is not None]
            for sign, seconds in ((signal.SIGSTOP, 0.1), (signal.SIGCONT, 0.0)):
                for pid in drivers:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, sign)
                time.sleep(seconds)

    holder = threading.Thread(target=hold)
    holder.start()
    yield
    ended.set()
    holder.join()


@pytest.mark.usefixtures("slow_drivers")
def test_batches_and_thresholds(run: Run) -> None:
    """Batches count by document, on two processes; a threshold that is not kept is the exit code. Drivers that stand
    still say that part of the tail is their own."""
    plan = PLAN.replace("connections", "batch = 10\nprocesses = 2\nconnections").replace("seconds = 3", "seconds = 1")
    code, result = run(plan, "--threshold", "p50<1us")
    assert code == 1
    assert result["thresholds_broken"][0].startswith("p50<1us (was ")
    assert result["figures"]["wrong"] == 0
    assert result["figures"]["driver_lag"] > 50
    assert "the driver's own loop was up to" in result["bottleneck"]
    assert result["figures"]["checks"] == 10 * result["figures"]["answered"]


def test_a_server_that_stands_still(run: Run, server: Server) -> None:
    """Two seconds of silence are in the percentiles: what was due meanwhile is counted from when it was due."""
    workers = server.children("_worker")
    assert workers
    ended = threading.Event()

    def stop() -> None:
        # Once the driver is at work: its preparation is over when checks are counted.
        if ended.wait(3.0):
            return
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(2.0)
        for pid in workers:
            os.kill(pid, signal.SIGCONT)

    stopper = threading.Thread(target=stop)
    stopper.start()
    try:
        _, result = run(PLAN.replace("seconds = 3", "seconds = 8").replace('"failed==0"', '"p50<1s"'))
    finally:
        ended.set()
        stopper.join()
    figures = result["figures"]
    assert figures["wrong"] == 0
    assert figures["pmax"] >= 1900
    assert figures["p90"] >= 500


def test_refusals(server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It loads this machine only, and wrong usage ends with 2 before anything runs."""
    monkeypatch.delenv("LOSTID_KEY", raising=False)
    for arguments in (
        ["hotel-evening", "--url", "http://registry.example"],
        ["hotel-evening", "--url", server.url],
        ["no-such-scenario"],
        ["hotel-evening", "--threshold", "p98<1ms"],
    ):
        assert main(arguments) == 2
