"""What happens before a server serves: the exit codes and the words of refusals."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from lostid import prepare
from lostid.secrets import load_or_make
from lostid.settings import Settings
from tests.conftest import NewDatabase


@pytest.fixture
def settings(postgres_dsn: str, valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    directory = tmp_path_factory.getbasetemp() / "prepare"
    load_or_make(directory / "secrets", make=True)
    return Settings(data_dir=directory, database_url=postgres_dsn, redis_url=valkey_url)


@pytest.fixture
def evicting(valkey_url: str) -> Iterator[None]:
    with redis.Redis.from_url(valkey_url) as r:
        r.config_set("maxmemory-policy", "allkeys-lru")
        yield
        r.config_set("maxmemory-policy", "noeviction")


def test_twice(settings: Settings) -> None:
    """An empty ledger is made, and found the second time."""
    assert [prepare.run(settings, None), prepare.run(settings, None)] == [0, 0]


def test_other_secrets(settings: Settings, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Secrets other than those that the ledger was made with are refused by name."""
    load_or_make(tmp_path, make=True)
    assert prepare.run(settings, None) == 0
    assert prepare.run(settings.model_copy(update={"secrets_dir": tmp_path}), None) == 1
    assert "secrets_differ" in capfd.readouterr().err


def test_no_secrets(settings: Settings, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Secrets are not made here: beside a ledger elsewhere a new one would be a wrong one."""
    assert prepare.run(settings.model_copy(update={"secrets_dir": tmp_path}), None) == 1
    assert "pepper is missing" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("evicting")
def test_evicting_redis(settings: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    """A Redis that may drop records is refused by name."""
    assert prepare.run(settings, None) == 1
    assert "redis_evicts" in capfd.readouterr().err


def test_no_redis(settings: Settings, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A Redis that is away keeps nobody from starting: it decides nothing."""
    assert prepare.run(settings.model_copy(update={"redis_url": f"unix://{tmp_path}/none"}), None) == 0
    assert "redis_unavailable" in capfd.readouterr().err


def test_no_ledger(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A ledger that is away for longer than an engine takes to start is said to be away."""
    monkeypatch.setattr(prepare, "PATIENCE_S", 0.1)
    assert prepare.run(settings.model_copy(update={"database_url": f"postgresql:///x?host={tmp_path}"}), None) == 3
    assert "ledger_unavailable" in capfd.readouterr().err


def test_lesser_ledger(settings: Settings, new_database: NewDatabase, capfd: pytest.CaptureFixture[str]) -> None:
    """A ledger that acknowledges commits before they are durable is refused before anything is written."""
    dsn = f"{new_database()}&options=-csynchronous_commit%3Doff"
    assert prepare.run(settings.model_copy(update={"database_url": dsn}), None) == 1
    assert "synchronous_commit_low" in capfd.readouterr().err
