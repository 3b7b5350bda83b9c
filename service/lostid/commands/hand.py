"""Getting hold of things: settings, and the ledger, whether or not a server runs."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lostid.commands.telling import Exit, Failed, note

if TYPE_CHECKING:
    from lostid.settings import Settings


def read_settings(**given: Any) -> "Settings":
    """The settings, with what the command line gave over what the environment says. Raises Failed."""
    from pydantic import ValidationError

    from lostid.settings import Settings

    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as e:
        wrong = "; ".join(f"LOSTID_{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in e.errors())
        raise Failed("settings", wrong, Exit.USAGE) from None


@contextmanager
def ledger(settings: "Settings") -> Iterator[str]:
    """The DSN of the ledger. Where it is embedded and no server runs, its PostgreSQL runs for as long as this lasts."""
    from lostid.engines import postgres
    from lostid.engines.procs import DataDirInUse, DataDirLock

    if settings.database_url is not None:
        yield settings.database_url
        return
    if not postgres.exists(settings.data_dir):
        raise Failed("no_ledger", f"there is no ledger in {settings.data_dir} yet; start `lostid serve`", Exit.USAGE)
    try:
        lock = DataDirLock(settings.data_dir)
    except DataDirInUse:  # by its server
        yield postgres.embedded_dsn(settings.place)
        return
    except PermissionError as e:
        raise Failed("no_ledger", f"{settings.data_dir} belongs to another user ({e.strerror})", Exit.USAGE) from None
    with lock:
        yield from _for_the_moment(settings)


def _for_the_moment(settings: "Settings") -> Iterator[str]:
    from lostid.engines import postgres
    from lostid.engines.procs import stop
    from lostid.ledger.migrate import migrate
    from lostid.ledger.pool import connect

    note("no server runs on this data directory; its PostgreSQL is started for the moment")
    engine = postgres.prepare(settings.data_dir, settings.place)
    child = engine.start()
    try:
        while not engine.ready(child):
            if child.poll() is not None:
                raise Failed("ledger_unavailable", f"PostgreSQL ended; its words are in {engine.log}", Exit.NO_ANSWER)
            time.sleep(0.02)
        with connect(engine.dsn, name="lostid-cli") as conn:
            migrate(conn)
        yield engine.dsn
    finally:
        stop(child, *engine.stops_with)
