"""Settings: defaults of the contract, named refusals, the way to child processes."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from lostid.settings import Settings, private_dir


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable and no `.env` of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith("LOSTID_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_defaults(tmp_path: Path) -> None:
    """What the contract states, in the directory the process was started in."""
    found = Settings()
    assert found.data_dir == tmp_path / "data"
    assert found.secrets_path == tmp_path / "data" / "secrets"
    assert (found.host, found.port, found.capacity, found.timezone) == ("127.0.0.1", 8080, 1_000_000, "Asia/Shanghai")
    assert (found.journal_days, found.log_public, found.sandbox) == (400, False, True)
    assert found.embedded_postgres
    assert found.embedded_valkey
    assert found.workers >= 1


def test_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Variables count, above them what is given, below them `.env`; an empty variable is none."""
    (tmp_path / ".env").write_text("LOSTID_PORT=1111\nLOSTID_WORKERS=3\n")
    monkeypatch.setenv("LOSTID_WORKERS", "4")
    monkeypatch.setenv("LOSTID_HOST", "::1")
    monkeypatch.setenv("LOSTID_SANDBOX", "off")
    monkeypatch.setenv("LOSTID_DATABASE_URL", "")
    found = Settings(host="0.0.0.0")  # noqa: S104  never opened
    assert (found.port, found.workers, found.host, found.sandbox) == (1111, 4, "0.0.0.0", False)  # noqa: S104
    assert found.embedded_postgres


def test_handed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A child that reads the environment made for it has the same settings, wherever it stands."""
    urls = {"database_url": "postgresql:///x", "redis_url": "unix:///y"}
    found = Settings(sandbox=False, log_public=True, **urls)  # type: ignore[arg-type]
    for name, value in found.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir("/")
    assert Settings().environment() == found.environment()
    assert Settings().run_dir == found.run_dir


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "65536"),
        ("WORKERS", "0"),
        ("CAPACITY", "many"),
        ("TIMEZONE", "Mars/Olympus"),
        ("TIMEZONE", "../secrets"),
        ("JOURNAL_DAYS", "0"),
        ("LOG_ORIGIN", "two words"),
        ("DATABASE_URL", "postgresql//lostid:hush@ledger/lostid"),
        ("REDIS_URL", "redis//:hush@registry"),
        ("REDIS_URL", "redis://lostid:hu/sh@registry"),
    ],
)
def test_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong setting is refused by its name, and its value is not repeated: it may be a password."""
    monkeypatch.setenv(f"LOSTID_{name}", value)
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert refused.value.errors()[0]["loc"] == (name.lower(),)
    assert value not in str(refused.value) or value == "0"


def test_no_passwords() -> None:
    """Printing settings shows no URL."""
    shown = repr(Settings(database_url="postgresql://a:hush@b/c", redis_url="rediss://:hush@b"))
    assert "hush" not in shown


def test_private_dir(tmp_path: Path) -> None:
    """A directory of ours alone is made, found again, and refused where it is open to others or a link."""
    path = private_dir(tmp_path / "run")
    assert path.stat().st_mode & 0o777 == 0o700
    assert private_dir(path) == path
    path.chmod(0o750)
    with pytest.raises(PermissionError):
        private_dir(path)
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(PermissionError):
        private_dir(tmp_path / "link")
