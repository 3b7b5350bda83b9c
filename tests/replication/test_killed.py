"""kill -9 of the replica at every step: what it leaves behind is never wrong, and its successor mends it."""

import asyncio
import secrets
import signal

import pytest

from lostid.filter.page import Unproven
from lostid.ledger import hosts
from lostid.ledger.pool import LedgerPool
from lostid.ledger.statement import Conn
from lostid.replication import fence_wait
from tests.replication.hosting import Host, report, until

PAGE = "lostid.filter.page:PageWriter"
GENERATION = "lostid.filter.generation:Generation"
LEDGER = "lostid.ledger.hosts"
HOST = "lostid.replication.host_filter:HostFilter"

# In the order in which a replica takes them, from an empty directory on. (At the n-th time.)
STEPS = [
    (f"before {PAGE}.zero_lease", 1),
    (f"before {PAGE}.show", 1),
    (f"amid {PAGE}.show", 1),
    (f"after {PAGE}.flip", 1),
    (f"amid {PAGE}.publish", 1),
    (f"after {PAGE}.show", 1),
    (f"before {LEDGER}:join", 1),
    (f"after {LEDGER}:join", 1),
    (f"after {LEDGER}:leave", 1),
    (f"before {LEDGER}:renew", 1),
    (f"after {LEDGER}:renew", 1),
    (f"before {PAGE}.grant", 1),
    (f"after {PAGE}.grant", 1),
    ("after lostid.filter.bloom:MappedBloom.add", 2),
    (f"before {PAGE}.publish", 3),
    (f"amid {PAGE}.publish", 3),
    (f"after {PAGE}.publish", 3),
]


@pytest.mark.timeout(300)  # eighteen replicas in a row, on a machine that may be busy
async def test_every_step(host: Host, conn: Conn, pool: LedgerPool) -> None:
    """Whatever step it died at: what was reported before is not clear, and the next replica goes on from there.

    Each one starts on what the last one left. Meanwhile reports come in, and each waits at its fence.
    """
    reported: list[bytes] = []
    stop = asyncio.Event()

    async def write() -> None:
        while not stop.is_set():
            key = secrets.token_bytes(16)
            placed = report(conn, key)
            await fence_wait.wait(pool, placed.seq, placed.hash)
            reported.append(key)
            assert host.answers(*reported[-50:]) is not False
            await asyncio.sleep(0.01)

    writer = asyncio.create_task(write())
    for step, times in STEPS:
        replica = host.start("tests.replication.doomed", step, str(times))
        while replica.poll() is None:
            if writer.done():
                await writer  # raises what it has met
            assert host.answers(*reported[-50:]) is not False, step
            await asyncio.sleep(0.01)
        assert replica.wait() == -signal.SIGKILL, step
    host.start()
    stop.set()
    await writer
    assert host.told(*reported)
    until(lambda: len(hosts.sample(conn)) == 1)


@pytest.mark.parametrize("when", ["before", "after"])
def test_at_leave(host: Host, conn: Conn, when: str) -> None:
    """Killed while it leaves: no lease, and at most a row that the next one deletes."""
    host.start("tests.replication.doomed", f"{when} {LEDGER}:leave", "1")
    host.ready(1)
    host.signal(signal.SIGTERM)
    assert host.replica is not None
    assert host.replica.wait(10) == -signal.SIGKILL
    assert host.page().lease_until() == 0
    assert len(hosts.sample(conn)) == (1 if when == "before" else 0)
    host.start()
    host.ready(1)
    until(lambda: len(hosts.sample(conn)) == 1)


def test_torn_position(host: Host, conn: Conn) -> None:
    """Killed between the words of the position: nobody reads half of it, and a lease that somebody may still carry has
    ended before an older one is shown."""
    host.start()
    host.ready(1)
    host.stop()
    last = report(conn)
    for key in range(3):
        last = report(conn, key.to_bytes(16, "big"))
    replica = host.start("tests.replication.doomed", "amid lostid.filter.page:PageWriter.publish", "1")
    assert replica.wait(10) == -signal.SIGKILL
    with pytest.raises(Unproven):
        host.page().position()
    host.start()
    host.ready(last.seq)
    assert host.told(*(key.to_bytes(16, "big") for key in range(3)))
