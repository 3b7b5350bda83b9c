"""What is kept only for a while goes, and nothing else."""

from lostid.ledger.care import care
from lostid.ledger.pool import LedgerPool
from lostid.ledger.statement import Conn
from lostid.ledger.writes import Recorded, record
from tests.ledger.making import report, verified_chain, write_key


async def test_forgetting(pool: LedgerPool, conn: Conn) -> None:
    """Idempotency keys go after 40 days, operators' rations after a week; entries stay."""
    old, young = write_key("old"), write_key("young")
    for key, name in ((old, "old"), (young, "young")):
        assert isinstance(await pool.write(record, key, report(name)), Recorded)
    conn.execute("UPDATE writes SET created_at = now() - interval '41 days' WHERE idem_key = %s", [old.idem_key])
    conn.execute("UPDATE writes SET created_at = now() - interval '39 days' WHERE idem_key = %s", [young.idem_key])
    for days in (6, 9):
        day = "INSERT INTO lookups VALUES ('live', 'police', 'officer-1', now() - make_interval(days => %s), '{}')"
        conn.execute(day, [days])
    await pool.write(care, 400)
    assert conn.execute("SELECT idem_key FROM writes").fetchall() == [(young.idem_key,)]
    assert conn.execute("SELECT count(*) FROM lookups").fetchone() == (1,)
    assert len(verified_chain(conn)) == 4
