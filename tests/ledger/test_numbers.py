"""Document numbers are stored nowhere: in no table, in no form that shows them."""

import time
from datetime import date

from psycopg import sql

from lostid.domain.canonical import canonicalise
from lostid.domain.keys import Keyring
from lostid.ledger import apikeys, lookups
from lostid.ledger.apikeys import NewKey
from lostid.ledger.journal import JournalWriter
from lostid.ledger.pool import LedgerPool
from lostid.ledger.statement import Conn
from lostid.ledger.writes import InForce, Recorded, record, store_answer, write_key
from tests.ledger.making import line, report

NUMBERS = {"cn.resident-id": "11010519491231002X", "cn.passport": "E12345678", "cn.hk-macau-permit": "H12345678"}


def forms(number: str) -> set[str]:
    """As it is, and as a dump would show its bytes."""
    plain = {number, number.lower(), number[:17]}
    return {form for text in plain for form in (text, text.encode().hex())}


def whole(table: str) -> sql.Composed:
    return sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(table))


async def test_nowhere(pool: LedgerPool, conn: Conn, ledger_dsn: str) -> None:
    """After reports, checks, searches and keys, with the number even in the Idempotency-Key and the request, no table
    holds it."""
    keyring = Keyring(b"o" * 32, b"p" * 32, b"s" * 32)
    now_ms = time.time_ns() // 1_000_000
    async with JournalWriter(ledger_dsn) as journal:
        for n, (type_, number) in enumerate(NUMBERS.items()):
            key = keyring.key("live", canonicalise(type_, number, None, date(2026, 11, 22)))
            request = f'POST /v1/reports {{"number": "{number}"}}'.encode()
            write = write_key(keyring.fingerprint_key, "live", "police", number, request)
            outcome = await pool.write(record, write, report(f"{n}", key))
            assert isinstance(outcome, Recorded)
            await pool.write(store_answer, write, outcome.appended, 201, b"{}", InForce(now_ms, {}))
            journal.put(line(n, at_ms=now_ms, key=key))
            assert await journal.flush(10)
            await pool.write(lookups.take, "live", date(2026, 11, 22), [line(n, at_ms=now_ms, key=key)])
        await pool.write(apikeys.create, "key_1", NewKey("live", "police", ("reporter",)))
    found = conn.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
    tables = [row[0] for row in found]
    assert {"entries", "covers", "reports", "writes", "sealed_tokens", "lookups", "api_keys", "meta"} <= set(tables)
    dump = "\n".join(row[0] for table in tables for row in conn.execute(whole(table)))
    assert "rpt_0" in dump
    assert "chk_0" in dump
    for number in NUMBERS.values():
        assert not [form for form in forms(number) if form in dump]
