"""The replica's connection: nothing on it lasts for ever, and what was in doubt is never used again."""

import subprocess
import sys

from lostid.ledger.statement import Conn
from tests.replication.hosting import until

# In a process of its own: a Wire owns the process's alarm clock.
SCRIPT = """
import sys, time
from lostid.ledger.errors import LedgerError
from lostid.ledger.statement import Statement, nothing
from lostid.replication.wire import Wire

wire = Wire(sys.argv[1])
for writes in (False, True):
    begun = time.monotonic()
    try:
        with wire.call(0.2) as conn:
            Statement("SELECT pg_sleep(8)", nothing, writes).run(conn)
    except LedgerError as reason:
        print(type(reason).__name__, conn.closed, time.monotonic() - begun < 5)
with wire.call() as conn:
    print(conn.execute("SELECT 1").fetchone())
wire.close()
"""


def test_too_long(ledger_dsn: str, conn: Conn) -> None:
    """A call that gets no reply in time is cut off: a write's outcome is then unknown, and the next call connects anew.

    Nothing is cancelled: what the server was asked to do, it goes on doing.
    """
    told = subprocess.run([sys.executable, "-c", SCRIPT, ledger_dsn], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines() == ["LedgerDown True True", "LedgerUnknown True True", "(1,)"]
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(8)' AND state = 'active'"
    assert conn.execute(asleep).fetchone() == (2,)
    conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(8)'")
    until(lambda: conn.execute(asleep).fetchone() == (0,))


def test_notified(ledger_dsn: str, conn: Conn) -> None:
    """A notification that arrived while another statement ran is not slept over."""
    script = """
import sys, time
from lostid.replication.wire import Wire
wire = Wire(sys.argv[1])
with wire.call() as conn:
    conn.execute("SELECT 1")
print("listening", flush=True)
sys.stdin.readline()
with wire.call() as conn:
    conn.execute("SELECT 1")
begun = time.monotonic()
wire.wait(20)
print(time.monotonic() - begun < 10)
wire.close()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script, ledger_dsn], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as listener:
        assert listener.stdin is not None
        assert listener.stdout is not None
        assert listener.stdout.readline() == "listening\n"
        conn.execute("NOTIFY lostid_entry")
        told, _ = listener.communicate("go on\n", timeout=20)
    assert told == "True\n"
