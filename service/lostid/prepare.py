"""What happens once before a server serves: schema, first entries, and the reasons not to start. A child of its own.

Whatever refuses here says so in one sentence on standard error, names its code, and ends with the exit code.
"""

import sys
import time

import redis

from lostid.domain.canaries import canary_keys
from lostid.domain.keys import Keyring
from lostid.engines import postgres
from lostid.ledger.errors import LedgerError, StartRefused
from lostid.ledger.migrate import prepare
from lostid.ledger.pool import connect
from lostid.registry.client import open_client
from lostid.registry.server import findings
from lostid.secrets import Secrets, SecretsRefused, load_or_make
from lostid.settings import Settings

REFUSED = 1
UNREACHABLE = 3
PATIENCE_S = 10.0
"""How long an engine of somebody else's may still be starting, as it does beside us in a container."""


def run(settings: Settings, fd: int | None) -> int:
    try:
        secrets = load_or_make(settings.secrets_path, make=False)
        prepare_ledger(settings, secrets)
        check_redis(settings)
    except SecretsRefused as e:
        return _say("secrets", str(e), REFUSED)
    except StartRefused as e:
        return _say(e.code, e.sentence, REFUSED)
    except LedgerError as e:
        return _say("ledger_unavailable", str(e), UNREACHABLE)
    return 0


def prepare_ledger(settings: Settings, secrets: Secrets) -> None:
    """Bring the ledger to where a server may start on it. Raises StartRefused, LedgerError."""
    assert settings.database_url is not None  # noqa: S101  the supervisor has resolved it
    if settings.database_url == postgres.embedded_dsn(settings.place):
        _make_database(postgres.embedded_dsn(settings.place, "postgres"))
    keyring = Keyring(secrets.outer, secrets.pepper, secrets.sealing)
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            with connect(settings.database_url, name="lostid-prepare") as conn:
                prepare(conn, keyring.check_values(), canary_keys(keyring))
            return
        except LedgerError:
            if time.monotonic() >= until:
                raise
            time.sleep(0.2)


def _make_database(dsn: str) -> None:
    """The embedded cluster's database. Two starts at once cannot meet here: the data directory has one server."""
    with connect(dsn, name="lostid-prepare") as conn:
        name = (postgres.DATABASE,)
        if conn.execute("SELECT FROM pg_database WHERE datname = %s", name).fetchone() is None:
            conn.execute(f"CREATE DATABASE {postgres.DATABASE}")


def check_redis(settings: Settings) -> None:
    """Raises StartRefused for a server that must not be used. One that is away is no reason to stay away as well."""
    assert settings.redis_url is not None  # noqa: S101  the supervisor has resolved it
    try:
        with open_client(settings.redis_url) as client:
            found = findings(client)
    except redis.RedisError as e:
        _say("redis_unavailable", f"{e}; starting without it, checks ask the ledger", 0)
        return
    for finding in found:
        if finding.refuse:
            raise StartRefused(finding.code, finding.sentence)
        _say(finding.code, finding.sentence, 0)


def _say(code: str, sentence: str, exit_code: int) -> int:
    print(f"lostid: {code}: {sentence}", file=sys.stderr, flush=True)
    return exit_code
