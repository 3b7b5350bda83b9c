"""``python -m nation.generate 10_000_000 DIRECTORY``: a fresh data directory whose ledger holds so many documents.

Straight into PostgreSQL's tables, past the API: entries of 100 effects each, chained as the ledger chains them, with
their rows in `covers`. Redis and filter are not made here: `lostid serve` fills both from the ledger, as it does after
any loss. Sealed tokens (some 120 bytes for each document) are left out, because random keys have none.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from lostid.domain.keys import Keyring
from lostid.engines import postgres
from lostid.ledger import entries
from lostid.ledger.pool import connect
from lostid.ledger.statement import Conn
from lostid.prepare import prepare_ledger
from lostid.secrets import load_or_make
from lostid.settings import Settings
from nation import people, rows

AT_ONCE = 2_000
"""Entries in one transaction. Each leaves a whole ledger behind."""
_DOCUMENTS = "documents"


def main() -> int:
    """Make it."""
    parser = argparse.ArgumentParser(prog="nation.generate", description=__doc__)
    parser.add_argument("documents", type=int)
    parser.add_argument("directory", type=Path)
    options = parser.parse_args()
    began = time.monotonic()
    generate(options.documents, options.directory)
    print(f"{options.documents:,} documents in {time.monotonic() - began:.0f} s")
    return 0


def generate(documents: int, directory: Path) -> None:
    """Raises FileExistsError where there is something already."""
    directory.mkdir(mode=0o700, parents=True)
    settings = Settings(data_dir=directory)
    secrets = load_or_make(settings.secrets_path, make=True)
    keyring = Keyring(secrets.outer, secrets.pepper, secrets.sealing)
    with _engine(settings) as dsn:
        prepare_ledger(settings.model_copy(update={"database_url": dsn}), secrets)
        with connect(dsn, name="generate", statement_timeout="0") as conn:
            fill(conn, keyring, documents)
    (directory / _DOCUMENTS).write_text(str(documents))


def documents_of(directory: Path) -> int:
    """How many documents it was made for. FileNotFoundError where it was not finished."""
    return int((directory / _DOCUMENTS).read_text())


@contextmanager
def _engine(settings: Settings) -> Iterator[str]:
    engine = postgres.prepare(settings.data_dir, settings.place)
    child = engine.start()
    try:
        while not engine.ready(child):
            time.sleep(0.05)
        yield engine.dsn
    finally:
        child.send_signal(signal.SIGINT)
        child.wait()


def fill(conn: Conn, keyring: Keyring, documents: int) -> None:
    """Rows first, then their index: in any order of keys that takes a tenth of the time, and the index is the same."""
    conn.execute("ALTER TABLE covers DROP CONSTRAINT covers_pkey")
    head = entries.head(conn)
    made = _entries(keyring, documents, head.seq + 1)
    steps = -(-documents // (rows.AN_ENTRY * AT_ONCE))
    for _ in track(range(steps), "rows", console=Console(stderr=True), transient=True):
        head = _append(conn, head, list(islice(made, AT_ONCE)))
    conn.execute("SET maintenance_work_mem = '512MB'")
    conn.execute("ALTER TABLE covers ADD PRIMARY KEY (doc_key, seq, ordinal)")
    conn.execute("VACUUM (ANALYZE) covers")


def _entries(keyring: Keyring, documents: int, first: int) -> Iterator[rows.Entry]:
    days = np.random.default_rng(documents)
    for seq, keys in enumerate(people.keys(keyring, documents, rows.AN_ENTRY), first):
        yield rows.entry(seq, keys, days.integers(rows.FIRST_DAY, rows.LAST_DAY, len(keys) // 16))


def _append(conn: Conn, head: entries.Head, made: Sequence[rows.Entry]) -> entries.Head:
    """The entries with the chain through them, their effects, and the head, in one transaction."""
    now = time.time_ns() // 1_000_000
    chain = [head.hash]
    for entry in made:
        chain.append(entries.chain_hash(chain[-1], entry.seq, now, entry.body))
    with conn.transaction(), conn.cursor() as cursor:
        with cursor.copy("COPY covers FROM STDIN (FORMAT binary)") as copy:
            copy.write(b"".join((rows.COPY_HEAD, *(entry.rows for entry in made), rows.COPY_END)))
        with cursor.copy(
            "COPY entries (seq, prev, hash, recorded_ms, kind, id, body) FROM STDIN (FORMAT binary)"
        ) as copy:
            copy.set_types(("int8", "bytea", "bytea", "int8", "text", "text", "bytea"))
            for entry, prev, hash_ in zip(made, chain, chain[1:], strict=False):
                copy.write_row((entry.seq, prev, hash_, now, rows.KIND, entry.id, entry.body))
        place = {"seq": made[-1].seq, "prev": chain[-2], "hash": chain[-1], "now": now}
        cursor.execute("UPDATE head SET seq = %(seq)s, prev = %(prev)s, hash = %(hash)s, recorded_ms = %(now)s", place)
    return entries.Head(made[-1].seq, chain[-1], now)


if __name__ == "__main__":
    sys.exit(main())
