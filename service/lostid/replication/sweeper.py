"""The sweeper's process: one over all hosts, at the pace that docs/decisions/0014 states."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from typing import Final

import redis

from lostid.domain.keys import Keyring
from lostid.ledger import sweeps
from lostid.ledger.errors import LedgerError
from lostid.ledger.pool import connect
from lostid.registry.client import open_client
from lostid.replication.sweeping import Restart, Sweeper
from lostid.secrets import load_or_make
from lostid.settings import Settings

KEEP_EVERY_S: Final = 10.0
REST_S: Final = 0.002
"""So long, at most, each step leaves Redis alone also where the round is behind its plan."""
_RETRY_S: Final = 1.0
_NICE: Final = 5

_log = logging.getLogger(__name__)


def run(settings: Settings, fd: int | None = None) -> int:
    """Sweep until SIGTERM, through any outage of either side. Ends at once: there is nothing to put in order."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="lostid sweeper: %(message)s")
    os.nice(_NICE)
    secrets = load_or_make(settings.secrets_path, make=False)
    keyring = Keyring(secrets.outer, secrets.pepper, secrets.sealing)
    keys = keyring.record_tag_key, keyring.set_digest_key, keyring.set_total_key
    assert settings.database_url is not None  # noqa: S101  the supervisor has resolved both
    assert settings.redis_url is not None  # noqa: S101
    while True:
        try:
            with (
                connect(settings.database_url, name="lostid-sweeper") as conn,
                open_client(settings.redis_url) as client,
            ):
                while not sweeps.ONLY_ONE.run(conn):
                    time.sleep(_RETRY_S)
                sweep(Sweeper(conn, client, keys))
        except (LedgerError, redis.RedisError, OSError) as error:
            _log.info("waiting: %s", type(error).__name__)  # relay and replica say more about an outage
        time.sleep(_RETRY_S)


def sweep(sweeper: Sweeper) -> None:
    """Round after round."""
    kept = -KEEP_EVERY_S
    while True:
        began = time.monotonic()
        try:
            paced(sweeper)
        except Restart:
            time.sleep(_RETRY_S / 2)
            continue
        took = time.monotonic() - began
        if sweeper.clean:
            sweeper.clear()
            if time.monotonic() - kept >= KEEP_EVERY_S:
                sweeper.keep(int(took * 1000))
                kept = time.monotonic()


def paced(sweeper: Sweeper) -> None:
    """One round in the time that is planned for it; longer where much has to be read, or processors are scarce."""
    began = step = time.monotonic()
    for share in sweeper.round():
        now = time.monotonic()
        time.sleep(max(min(now - step, REST_S), began + share * sweeper.planned_s - now))
        step = time.monotonic()
    time.sleep(max(0.0, began + sweeper.planned_s - step))
