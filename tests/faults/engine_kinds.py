"""What is done to Valkey and to PostgreSQL: see `kinds`."""

from __future__ import annotations

import random
import signal

from tests.faults.cluster import Cluster, send, wake
from tests.faults.kinds import POSTGRES, VALKEY, Fault, Play, one_of
from tests.faults.postgres_pair import Node

# -- Valkey ------------------------------------------------------------------------------------------------------------


def flush(rng: random.Random) -> Fault:
    """FLUSHALL: the copy forgets everything."""

    def play(cluster: Cluster) -> Play:
        cluster.valkeys.current.ask("FLUSHALL")
        yield 0.0

    return Fault("flushall", "valkey", frozenset({VALKEY}), play)


def restart_empty(rng: random.Random) -> Fault:
    """Valkey comes back without its file."""

    def play(cluster: Cluster) -> Play:
        node = cluster.valkeys.current
        node.kill()
        node.take(None)
        yield from cluster.valkeys.restart(node)

    return Fault("redis restarted empty", "valkey", frozenset({VALKEY}), play)


def restart_older(rng: random.Random) -> Fault:
    """Valkey comes back with an older file."""
    since = rng.uniform(0.5, 4.0)

    def play(cluster: Cluster) -> Play:
        node = cluster.valkeys.current
        cluster.valkeys.remember()
        yield since
        node.kill()
        node.take(cluster.valkeys.older)
        yield from cluster.valkeys.restart(node)

    return Fault("redis restored from an older file", f"{since:.1f} s old", frozenset({VALKEY}), play)


def stale_copy(rng: random.Random) -> Fault:
    """A stale copy gets the address while the old one lives on with those who are connected to it; then back again."""
    since, stays, back = rng.uniform(0.2, 3.0), rng.uniform(0.5, 3.0), rng.random() < 0.5

    def play(cluster: Cluster) -> Play:
        valkeys = cluster.valkeys
        valkeys.remember()
        yield since
        yield from valkeys.stale_at_the_address()
        yield stays
        if back:  # the first is the stale one now
            valkeys.current, valkeys.other = valkeys.other, valkeys.current
        for link in valkeys.served:
            cluster.links.lead(link, valkeys.current.socket, reset=True)
        yield stays
        valkeys.other.kill()

    what = f"{since:.1f} s old, for {stays:.1f} s, {'and back' if back else 'for good'}"
    return Fault("stale copy of redis at the address", what, frozenset({VALKEY}), play)


def client_pause(rng: random.Random) -> Fault:
    """CLIENT PAUSE: it listens and does not answer."""
    milliseconds, what = rng.choice((300, 990, 1010, 3000)), rng.choice(("ALL", "WRITE"))

    def play(cluster: Cluster) -> Play:
        cluster.valkeys.current.ask(f"CLIENT PAUSE {milliseconds} {what}")
        yield milliseconds / 1000

    return Fault("client pause", f"{milliseconds} ms, {what}", frozenset({VALKEY}), play)


# -- PostgreSQL --------------------------------------------------------------------------------------------------------


def restart_postgres(rng: random.Random) -> Fault:
    """As its operator restarts it: fast, or immediate."""
    how, down = rng.choice((signal.SIGINT, signal.SIGQUIT)), rng.uniform(0.0, 1.0)

    def play(cluster: Cluster) -> Play:
        node = cluster.postgres.primary
        send(node.pids[:1], how)
        for _ in range(100):
            if not node.running:
                break
            yield 0.05
        else:
            node.kill()
        yield down
        yield from cluster.postgres.settle()

    return Fault("postgres restart", how.name, frozenset({POSTGRES}), play)


def kill_backend(rng: random.Random) -> Fault:
    """One backend ends: terminated in order, or by SIGKILL, after which the server throws all of them out."""
    politely, share = rng.random() < 0.7, rng.random()

    def play(cluster: Cluster) -> Play:
        node = cluster.postgres.primary
        ours = node.ask("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'lostid%' ORDER BY backend_start")
        found = one_of([int(str(row[0])) for row in ours], share)
        send(found, signal.SIGTERM if politely else signal.SIGKILL)
        yield 0.2
        yield from cluster.postgres.settle()

    what = "terminated" if politely else "SIGKILL"
    return Fault("one postgres backend killed", what, frozenset({POSTGRES}), play)


def failover(rng: random.Random) -> Fault:
    """The standby is promoted and gets the address; the old primary is dead, frozen for a while, or lives on."""
    how, lives = rng.choice(("dead", "frozen", "alive")), rng.uniform(0.3, 2.5)

    def play(cluster: Cluster) -> Play:
        pair = cluster.postgres
        old = pair.primary
        if how == "dead":
            old.kill()
        elif how == "frozen":
            send(old.pids, signal.SIGSTOP)
        try:
            pair.promote()
            yield lives
        finally:
            wake(old.pids)
        if how == "frozen":  # it wakes up and believes to be the primary
            yield lives
        retire(cluster, old)
        pair.copy()
        yield from pair.settle()

    return Fault("failover to the standby", f"the old primary is {how}", frozenset({POSTGRES}), play)


def retire(cluster: Cluster, old: Node) -> None:
    old.kill()
    for link in cluster.postgres.served:
        cluster.links.lead(link, cluster.postgres.primary.socket, reset=False)
