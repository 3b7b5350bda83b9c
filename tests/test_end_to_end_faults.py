"""kill -9 of each part while police report and hotels check: no receipt is lost, no reported card is clear, and the
service comes back by itself."""

import os
import signal
from collections.abc import Iterator

import pytest

from tests.load import OFFICER, Load
from tests.serving import Server
from tests.waiting import wait_for

PARTS = ["valkey-server", "postgres", "_replica", "_relay", "_sweep", "_worker"]


@pytest.fixture(scope="module")
def serving() -> Iterator[Server]:
    with Server(workers=2) as running:
        yield running


@pytest.fixture(scope="module")
def keys(serving: Server) -> tuple[str, str]:
    return serving.key("reporter", station="station-12", operator=OFFICER), serving.key("checker")


def some_more(load: Load, receipts: int = 8, answers: int = 40) -> None:
    """Wait for work that was begun after this call and done."""
    enough = len(load.receipts) + receipts, load.answered + answers
    wait_for(lambda: len(load.receipts) >= enough[0] and load.answered >= enough[1], 30, "the work goes on")


@pytest.mark.parametrize("part", PARTS)
def test_part(part: str, serving: Server, keys: tuple[str, str]) -> None:
    """One part is killed: the supervisor starts it again, and nobody was told anything wrong."""
    load = Load(serving, *keys, seed=10 + PARTS.index(part))
    with load:
        some_more(load)
        before = serving.children(part)
        os.kill(before[0], signal.SIGKILL)
        wait_for(lambda: len(new := serving.children(part)) == len(before) and new != before, 20, f"a new {part}")
        serving.wait_until_ready()
        some_more(load)
    load.verify()


def test_checks_without_valkey(serving: Server, keys: tuple[str, str]) -> None:
    """While Valkey stands still nothing is wrong and checks are answered, by the ledger."""
    (valkey,) = serving.children("valkey-server")
    load = Load(serving, *keys, seed=7)
    with load:
        some_more(load)
        os.kill(valkey, signal.SIGSTOP)
        try:
            some_more(load)
        finally:
            os.kill(valkey, signal.SIGCONT)
        some_more(load)
    load.verify()


def test_rebuild(serving: Server, keys: tuple[str, str]) -> None:
    """`lostid registry rebuild`, again and again: nothing is wrong, and each time Redis comes back into service."""

    def in_service() -> bool:
        _, told = serving.ask("GET", "/readyz")
        return told is not None and told["registry"].get("doing") == "in_service"

    load = Load(serving, *keys, seed=9)
    with load:
        for _ in range(3):
            some_more(load)
            assert serving.cli("registry", "rebuild").returncode == 0
            some_more(load)
            wait_for(in_service, 30, "a registry in service")
    load.verify()


def test_supervisor(serving: Server, keys: tuple[str, str]) -> None:
    """The supervisor is killed and everything ends with it; after another start everything is there again."""
    load = Load(serving, *keys, seed=8)
    with load:
        some_more(load)
        parts = serving.children()
        assert serving.stop(signal.SIGKILL) == -signal.SIGKILL
        serving.start()
        assert set(serving.children()).isdisjoint(parts)
        some_more(load)
    load.verify()
