"""Imports on a host: their bits before their entry, and no answer without them."""

import random

from lostid.ledger import hosts
from lostid.ledger.statement import Conn
from tests.replication.hosting import Host, report, until
from tests.staging import alter, covering, release, rows, stage, withdraw


def keys_of(name: str, count: int) -> list[bytes]:
    return [*map(random.Random(name).randbytes, [16] * count)]


def confirmed(conn: Conn) -> int:
    return len(conn.execute("SELECT FROM import_staged JOIN hosts USING (inc)").fetchall())


def test_before(host: Host, conn: Conn) -> None:
    """A host says when it has the rows, and follows reports meanwhile; the release then costs it nothing."""
    host.start()
    host.ready(1)
    keys = keys_of("a", 3_000)
    flip = stage(conn, [rows(keys[:2_000], covering(9_000)), rows(keys[2_000:], covering(9_000), 8_193)])
    host.ready(report(conn).seq)
    until(lambda: confirmed(conn) == 1)
    assert host.told(*keys)
    row = hosts.sample(conn)[0].inc
    host.ready(release(conn, flip).seq)
    assert [found.inc for found in hosts.sample(conn)] == [row]
    host.ready(withdraw(conn, flip).seq)


def test_after(host: Host, conn: Conn) -> None:
    """A host that meets a release without its rows gives up its lease and its row, takes them in, and joins anew. One
    that starts from nothing has them with its filter, one that grows has them in the bigger one."""
    host.start()
    host.ready(1)
    host.stop()
    keys = keys_of("b", 500)
    placed = release(conn, stage(conn, [rows(keys, covering(9_000))]))
    host.start()
    host.ready(placed.seq)
    assert host.told(*keys)
    host.stop()
    more = keys_of("c", 9_000)
    waiting = stage(conn, [rows(more[:8_000], covering(9_000)), rows(more[8_000:], covering(9_000), 8_193)])
    host.start()
    until(lambda: confirmed(conn) == 1, 30)
    until(lambda: host.page().gen() > 1, 30)  # 10,000 is what it starts with
    until(lambda: confirmed(conn) == 1, 30)
    host.ready(release(conn, waiting).seq)
    assert host.told(*keys, *more)


def test_altered(host: Host, conn: Conn) -> None:
    """Rows that are not those that the entry names: this host answers nothing until somebody has looked."""
    host.start()
    host.ready(1)
    host.stop()
    flip = stage(conn, [rows(keys_of("d", 10), covering(9_000))])
    placed = release(conn, flip)
    alter(conn, flip)
    host.start()
    until(lambda: host.at() is not None)
    until(lambda: not host.leased())
    at = host.at()
    assert at is not None
    assert at.seq < placed.seq
    alter(conn, flip)
    host.ready(
        placed.seq,
    )
