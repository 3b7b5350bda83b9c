"""Synthetic ledgers are ledgers: nothing in them differs from what the service would have written."""

from datetime import date
from itertools import pairwise

import numpy as np
import psycopg

from lostid.domain.canaries import canary_keys
from lostid.domain.canonical import Canonical
from lostid.domain.documents import RESIDENT_ID
from lostid.domain.instance import day_number
from lostid.ledger import bodies, covers, entries
from lostid.ledger.migrate import prepare
from lostid.ledger.pool import connect
from lostid_load.population import NEW_CARD, OLD_CARD
from nation import generate, people, rows
from tests.domain.drawing import KEYRING
from tests.registry.ledgers import Ledger

DOCUMENTS = 310  # four entries


def test_ledger(postgres_dsn: str) -> None:
    """The chain goes through every entry, bodies are canonical, `covers` says what they say, and reports go on."""
    with connect(postgres_dsn, name="test") as conn:
        prepare(conn, {"pepper": "00"}, canary_keys(KEYRING))
        generate.fill(conn, KEYRING, DOCUMENTS)
        Ledger(conn).report(1, 9_000)
        found = entries.read_after(conn, 0, 100)
        effects = [effect for entry in found for effect in entry.effects]
        by_key = covers.effects_upto(conn, list({effect.key for effect in effects}), found[-1].seq)
    assert [entry.seq for entry in found] == [1, 2, 3, 4, 5, 6]
    assert all(entry.intact() for entry in found)
    assert all(entry.prev == before.hash for before, entry in pairwise(found))
    for entry in found:
        assert entry.body == bodies.encode(entry.kind, entry.id, entry.facts, entry.effects)
    assert sorted(map(repr, effects)) == sorted(repr(effect) for of in by_key.values() for effect in of)
    known = KEYRING.key("live", Canonical(RESIDENT_ID, people.holder(5).number))
    assert known in by_key
    assert KEYRING.key("live", Canonical(RESIDENT_ID, people.nobody(5).number)) not in by_key


def test_reasons(postgres_dsn: str) -> None:
    """Entries of every reason, as the service would have written them."""
    days = np.array([rows.FIRST_DAY, 14_000, rows.LAST_DAY])
    keys = bytes(range(48))
    with psycopg.connect(postgres_dsn, autocommit=True) as conn, conn.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE copied (LIKE covers)")
        for seq in (50, 51, 57, 59):
            made = rows.entry(seq, keys, days)
            with cursor.copy("COPY copied FROM STDIN (FORMAT binary)") as copy:
                copy.write(rows.COPY_HEAD + made.rows + rows.COPY_END)
            told = bodies.decode(made.body, seq)
            assert made.body == bodies.encode(told.kind, told.id, told.facts, told.effects)
            written = cursor.execute("SELECT * FROM copied WHERE seq = %s ORDER BY ordinal", (seq,))
            assert [covers.effect(row) for row in written] == list(told.effects)


def test_cards() -> None:
    """Every watermark lies between the cards that holders had and those that they show now."""
    old, new = day_number(date.fromisoformat(OLD_CARD)), day_number(date.fromisoformat(NEW_CARD))
    assert old <= rows.FIRST_DAY < rows.LAST_DAY < new
