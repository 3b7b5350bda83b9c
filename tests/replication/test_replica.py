"""The replica as a process: it follows, holds its lease, leaves; and nobody is told clear for what was reported."""

import signal
import subprocess
import sys
from pathlib import Path

from lostid.domain.keys import Keyring
from lostid.filter.page import Phase
from lostid.ledger import hosts
from lostid.ledger.pool import LedgerPool
from lostid.ledger.statement import Conn
from lostid.replication import fence_wait
from tests.replication.hosting import Host, report, until
from tests.replication.nursery import Nursery


def test_follows(host: Host, conn: Conn) -> None:
    """From an empty directory to a lease; then each entry is in the filter, and the ledger is told so."""
    host.start()
    host.ready(1)
    key, other = b"k" * 16, b"o" * 16
    assert not host.told(key)
    placed = report(conn, key, other)
    host.ready(placed.seq)
    assert host.told(key, other)
    at = host.at()
    assert at is not None
    assert (at.seq, at.hash) == (placed.seq, placed.hash)
    until(lambda: [row.seq for row in hosts.sample(conn)] == [placed.seq])
    assert host.phase() is Phase.FOLLOWING


def test_auth_seq(host: Host, conn: Conn) -> None:
    """A key event is told to the workers; other entries are not."""
    host.start()
    host.ready(1)
    began = host.page().auth_seq()
    host.ready(report(conn).seq)
    assert host.page().auth_seq() == began
    revoked = report(conn, kind="key.revoked")
    host.ready(revoked.seq)
    assert host.page().auth_seq() == revoked.seq


def test_leaves(host: Host, conn: Conn) -> None:
    """SIGTERM: no lease, no row, and the next one starts with the filter that is there."""
    host.start()
    host.ready(1)
    gen = host.page().gen()
    assert host.stop() == 0
    assert host.page().lease_until() == 0
    assert hosts.sample(conn) == []
    placed = report(conn)
    host.start()
    host.ready(placed.seq)
    assert host.page().gen() == gen


def test_second_refused(host: Host) -> None:
    """A second replica on the same page ends with exit code 1; the first is not disturbed."""
    first = host.start()
    host.ready(1)
    assert host.start().wait(10) == 1
    host.replica = first
    assert first.poll() is None
    until(host.leased)


async def test_fence(host: Host, conn: Conn, pool: LedgerPool) -> None:
    """The fence passes when the host has told the ledger, and from then on the host never says clear."""
    host.start()
    host.ready(1)
    for n in range(20):
        key = n.to_bytes(16, "big")
        placed = report(conn, key)
        seen = await fence_wait.wait(pool, placed.seq, placed.hash)
        assert (seen.hosts, seen.confirmed) == (1, 1)
        assert host.answers(key) is not False


async def test_stopped(host: Host, conn: Conn, pool: LedgerPool) -> None:
    """A replica that stands still loses its lease by itself; the fence waits for that, and no longer.

    When it goes on, its row is gone: it joins anew, with all that was reported meanwhile, before it has a lease again.
    """
    host.start()
    host.ready(1)
    before = hosts.sample(conn)[0].inc
    host.signal(signal.SIGSTOP)
    key = b"k" * 16
    placed = report(conn, key)
    seen = await fence_wait.wait(pool, placed.seq, placed.hash)
    assert (seen.hosts, seen.confirmed) == (1, 0)
    assert seen.waited_ms >= 1_500
    assert not host.leased()
    while hosts.sample(conn):
        following = report(conn)
        await fence_wait.wait(pool, following.seq, following.hash)
    host.signal(signal.SIGCONT)
    host.ready(placed.seq)
    assert host.told(key)
    assert [row.inc == before for row in hosts.sample(conn)] == [False]


def test_other_host_evicts(host: Host, conn: Conn, nursery: Nursery, tmp_path: Path, keyring: Keyring) -> None:
    """The row of a host that is gone is removed by the replica of another."""
    settings = host.settings
    assert settings.secrets_dir is not None
    assert settings.database_url is not None
    with Host(nursery, tmp_path / "other", settings.secrets_dir, keyring, settings.database_url) as other:
        other.start()
        host.start()
        other.ready(1)
        host.ready(1)
        assert len(hosts.sample(conn)) == 2
        other.kill()
        until(lambda: len(hosts.sample(conn)) == 1)
        until(host.leased)


def test_connection_lost(host: Host, conn: Conn) -> None:
    """A connection that breaks is made anew; the row stays, and the lease goes on."""
    host.start()
    host.ready(1)
    inc = hosts.sample(conn)[0].inc
    for _ in range(3):
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'lostid-replica' AND datname = current_database()"
        )
        host.ready(report(conn).seq)
    assert [row.inc for row in hosts.sample(conn)] == [inc]


def tampering(conn: Conn) -> None:
    """The ledger's triggers keep honest programs from changing entries; a superuser, or a failover, asks nobody."""
    conn.execute("SET session_replication_role = replica")


def test_lost_tail(host: Host, conn: Conn) -> None:
    """After a failover that lost the last entry, the host loads anew, and holds what was reported in its place."""
    host.start()
    lost = report(conn, b"l" * 16)
    host.ready(lost.seq)
    gen = host.page().gen()
    with conn.transaction():
        tampering(conn)
        conn.execute("DELETE FROM covers WHERE seq = %s", [lost.seq])
        conn.execute("DELETE FROM entries WHERE seq = %s", [lost.seq])
        conn.execute(
            "UPDATE head SET (seq, prev, hash, recorded_ms) ="
            " (SELECT seq, prev, hash, recorded_ms FROM entries ORDER BY seq DESC LIMIT 1)"
        )
        placed = report(conn, b"n" * 16)
    assert placed.seq == lost.seq
    until(lambda: (at := host.at()) is not None and at.hash == placed.hash)
    host.ready(placed.seq)
    assert host.page().gen() > gen
    assert host.told(b"n" * 16)
    assert not host.told(b"l" * 16)
    assert len(hosts.sample(conn)) == 1


def test_altered_entry(host: Host, conn: Conn) -> None:
    """An entry that is not what its hash says ends this host's answers; so does starting again."""
    host.start()
    host.ready(1)
    host.signal(signal.SIGSTOP)
    placed = report(conn, b"k" * 16)
    tampering(conn)
    conn.execute(
        "UPDATE entries SET body = replace(convert_from(body, 'UTF8'), %s, %s)::bytea WHERE seq = %s",
        [(b"k" * 16).hex(), (b"x" * 16).hex(), placed.seq],
    )
    host.signal(signal.SIGCONT)
    for _ in range(2):
        until(lambda: host.phase() is Phase.LEDGER_AWAY)
        until(lambda: not host.leased())
        at = host.at()
        assert at is not None
        assert at.seq < placed.seq
        host.kill()
        host.start()


def test_page_removed(host: Host, conn: Conn) -> None:
    """A replica whose page was removed under it ends: the next one makes a page that workers can find."""
    replica = host.start()
    host.ready(1)
    for left in host.run_dir.iterdir():
        left.unlink()
    assert replica.wait(10) == 1
    host.start()
    host.ready(1)
    until(lambda: len(hosts.sample(conn)) == 1)


def test_without_ledger(host: Host) -> None:
    """Where no ledger answers there is a page that says so, no lease, and an end on SIGTERM."""
    host.settings = host.settings.model_copy(update={"database_url": "postgresql:///lostid?host=/nonexistent"})
    host.start()
    until(lambda: host.phase() is Phase.LEDGER_AWAY)
    assert not host.leased()
    assert host.stop() == 0


def test_light() -> None:
    """The replica renews leases and serves nobody: it does not even load the web framework."""
    code = "import lostid.replication.replica, sys; print([m for m in ('fastapi', 'uvicorn') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"
