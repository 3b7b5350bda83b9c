"""Settings: what the environment (and `.env`) says, checked once, then handed on as one frozen value.

Only the edge makes a Settings; the rooms below receive what they need from it.
"""

import hashlib
import os
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

SHM = Path("/dev/shm")  # noqa: S108  a tmpfs by definition; what we make in it is 0700 and checked for its owner


def default_workers() -> int:
    """One worker for each processor this process may use, at most 8."""
    return min(8, len(os.sched_getaffinity(0)))


class Settings(BaseSettings):
    """The settings of docs and contract; a wrong one is refused by name, and its value is not repeated."""

    model_config = SettingsConfigDict(
        env_prefix="LOSTID_",
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,  # a database URL carries a password
    )

    data_dir: Path = Path("data")
    database_url: str | None = Field(default=None, repr=False)
    redis_url: str | None = Field(default=None, repr=False)
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    workers: Annotated[int, Field(ge=1, le=256)] = Field(default_factory=default_workers)
    capacity: Annotated[int, Field(ge=1_000, le=4_000_000_000)] = 1_000_000
    timezone: str = "Asia/Shanghai"
    secrets_dir: Path | None = None
    journal_days: Annotated[int, Field(ge=1, le=36_500)] = 400
    daily_lookups: Annotated[int, Field(ge=1, le=1_000_000)] = 200
    """Documents that one operator may search for or read the history of on one day."""
    log_public: bool = False
    log_origin: Annotated[str, Field(pattern=r"^[^\s+]{1,200}$")] = "localhost/lostid"
    sandbox: bool = True
    # Withdrawals that one operator may ask for; then a supervisor's key is needed. Found cards that went back to their
    # holders are counted apart.
    withdrawals_a_day: Annotated[int, Field(ge=0)] = 5
    withdrawals_in_30_days: Annotated[int, Field(ge=0)] = 20
    returned_a_day: Annotated[int, Field(ge=0)] = 50
    returned_in_30_days: Annotated[int, Field(ge=0)] = 500

    @field_validator("data_dir", "secrets_dir")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        """Relative paths mean the directory the process was started in; children may be started in another."""
        return None if path is None else Path(os.path.abspath(path.expanduser()))  # noqa: PTH100  resolve() would follow links

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            raise ValueError("no time zone of this name in the IANA database") from None
        return name

    @field_validator("database_url")
    @classmethod
    def _ledger_address(cls, url: str | None) -> str | None:
        """Here and not when it is opened: the libraries' words repeat what they could not read, password and all."""
        if url is not None:
            from psycopg import ProgrammingError
            from psycopg.conninfo import conninfo_to_dict

            try:
                conninfo_to_dict(url)
            except ProgrammingError:
                raise ValueError("not an address that PostgreSQL's client library reads") from None
        return url

    @field_validator("redis_url")
    @classmethod
    def _registry_address(cls, url: str | None) -> str | None:
        if url is not None:
            from redis.connection import parse_url

            try:
                parse_url(url)  # type: ignore[no-untyped-call]
            except ValueError:
                raise ValueError("not a redis://, rediss:// or unix:// address") from None
        return url

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def embedded_postgres(self) -> bool:
        return self.database_url is None

    @property
    def embedded_valkey(self) -> bool:
        return self.redis_url is None

    @property
    def secrets_path(self) -> Path:
        return self.data_dir / "secrets" if self.secrets_dir is None else self.secrets_dir

    @property
    def place(self) -> str:
        """Twelve characters that stand for the data directory in short names elsewhere."""
        return hashlib.sha256(os.fsencode(os.path.realpath(self.data_dir))).hexdigest()[:12]

    @property
    def run_dir(self) -> Path:
        """Where page, filter and rates of this host are mapped: tmpfs, gone after a reboot as the leases are."""
        return SHM / f"lostid-{self.place}" if SHM.is_dir() else self.data_dir / "run"

    def environment(self) -> dict[str, str]:
        """These settings as variables for a child process: resolved, so that the child need not guess again."""
        found = {
            f"LOSTID_{name.upper()}": ("on" if value else "off") if isinstance(value, bool) else str(value)
            for name, value in self.model_dump().items()
            if value is not None
        }
        return found | {"LOSTID_SECRETS_DIR": str(self.secrets_path)}


def private_dir(path: Path) -> Path:
    """Make a directory of mode 0700, or accept one that is ours alone. Anything else is refused, never repaired.

    Under a directory that everybody may write to, somebody else can take the name first: hence the look at the owner.
    """
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        found = path.lstat()
        if not path.is_dir() or path.is_symlink() or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise PermissionError(f"{path} is not a directory that belongs to this user alone (mode 0700)") from None
    return path
