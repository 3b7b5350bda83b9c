"""The kinds of faults: what each does to the cluster, and when it is over.

A fault is drawn whole before it is played, so that a seed gives the same faults again. It plays as a generator that
says how long to wait; what it did not undo itself (a host that has to start) it waits for. Its `claims` name what no
other fault may touch meanwhile.
"""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.faults.cluster import GUEST, STAYING, Cluster, all_links, send, wake
from tests.faults.disks import Disk
from tests.faults.hosts import PARTS, Host

LEASE_S = 1.0
PAUSES_S = (0.5 * LEASE_S, LEASE_S - 0.010, LEASE_S + 0.010, 3 * LEASE_S)
POSTGRES, VALKEY = "postgres", "valkey"
ENGINES = ("primary", "standby", "valkey")
Play = Iterator[float]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, with everything that chance had to say about it."""

    kind: str
    what: str
    claims: frozenset[str]
    play: Callable[[Cluster], Play]


def of_host(rng: random.Random) -> str:
    return rng.choice(STAYING)


def claim_of(process: str) -> str:
    """Who answers for a process."""
    return POSTGRES if process in ("primary", "standby") else process.split("/")[0]


def one_of(found: Sequence[int], share: float) -> list[int]:
    return [found[int(share * len(found))]] if found else []


# -- processes ---------------------------------------------------------------------------------------------------------


def kill(rng: random.Random) -> Fault:
    """SIGKILL of one part of a host, of a whole host, or of an engine; and what was killed comes back."""
    part = rng.choice([*PARTS, *PARTS, "supervisor"])
    process = rng.choice([*ENGINES, *(f"{name}/{part}" for name in STAYING for _ in range(2))])
    share, down = rng.random(), rng.uniform(0.1, 2.5)

    def play(cluster: Cluster) -> Play:
        if process in ENGINES:
            yield from kill_engine(cluster, process, down)
            return
        host = cluster.hosts[process.split("/")[0]]
        send(one_of(host.pids(part), share), signal.SIGKILL)
        yield down
        yield from host.come_up()

    return Fault("kill", process, frozenset({claim_of(process)}), play)


def kill_engine(cluster: Cluster, engine: str, down: float) -> Play:
    if engine == "valkey":
        cluster.valkeys.current.kill()
        yield down
        yield from cluster.valkeys.restart(cluster.valkeys.current)
        return
    (cluster.postgres.primary if engine == "primary" else cluster.postgres.standby).kill()
    yield down
    yield from cluster.postgres.settle()


def pause(rng: random.Random) -> Fault:
    """SIGSTOP and, about a lease later, SIGCONT: who slept through the end of its lease must not answer from before."""
    processes = [f"{name}/{part}" for name in STAYING for part in (*PARTS, "supervisor", "all")]
    # Most of all who holds the lease: its workers go on answering while it can hear of nothing.
    replicas = [f"{name}/_replica" for name in STAYING for _ in range(4)]
    process = rng.choice([*processes, *replicas, *ENGINES, "primary", "one of primary", "one of standby"])
    seconds, share = rng.choice(PAUSES_S), rng.random()

    def play(cluster: Cluster) -> Play:
        pids = paused(cluster, process, share)
        try:
            send(pids, signal.SIGSTOP)
            # Not a pause of ours: ten milliseconds of it matter.
            time.sleep(seconds)
        finally:
            wake(pids)
        yield 0.0

    claim = claim_of(process.removeprefix("one of "))
    return Fault("pause", f"{process} for {seconds:g} s", frozenset({claim}), play)


def paused(cluster: Cluster, process: str, share: float) -> list[int]:
    if process.startswith("one of "):
        return one_of(cluster.pids(process.removeprefix("one of "))[1:], share)
    if process.endswith("/all"):
        name = process.split("/")[0]
        return [pid for part in ("supervisor", *PARTS) for pid in cluster.pids(f"{name}/{part}")]
    pids = cluster.pids(process)
    return one_of(pids, share) if process.endswith("/_worker") else pids


# -- hosts -------------------------------------------------------------------------------------------------------------


def restart_host(rng: random.Random) -> Fault:
    """A host leaves in order, while reports wait for it, and joins again."""
    name, away = of_host(rng), rng.uniform(0.0, 2.0)

    def play(cluster: Cluster) -> Play:
        yield from leave_and_join(cluster.hosts[name], away)

    return Fault("leave and join", name, frozenset({name}), play)


def rolling_restart(rng: random.Random) -> Fault:
    """One host after the other, as for a new version."""
    away = rng.uniform(0.0, 1.0)

    def play(cluster: Cluster) -> Play:
        for name in STAYING:
            yield from leave_and_join(cluster.hosts[name], away)

    return Fault("rolling restart", "A, B", frozenset(STAYING), play)


def guest(rng: random.Random) -> Fault:
    """A third host joins, serves for a while, and leaves or is killed."""
    stays, politely = rng.uniform(0.5, 4.0), rng.random() < 0.5

    def play(cluster: Cluster) -> Play:
        host = cluster.hosts[GUEST]
        yield from host.come_up()
        yield stays
        if politely:
            yield from host.leave()
        host.kill()

    return Fault("guest", f"joins for {stays:.1f} s, {'leaves' if politely else 'is killed'}", frozenset({GUEST}), play)


def leave_and_join(host: Host, away: float) -> Play:
    yield from host.leave()
    yield away
    yield from host.come_up()


# -- disks -------------------------------------------------------------------------------------------------------------


def disk_full(rng: random.Random) -> Fault:
    """No room for a database's next segment, a filter's next generation, or Valkey's file."""
    where = rng.choice(("primary", "primary", "standby", "valkey", *STAYING, *STAYING))
    seconds, harder = rng.uniform(1.0, 3.0), rng.random() < 0.5

    def play(cluster: Cluster) -> Play:
        disk = disk_of(cluster, where)
        try:
            disk.fill()
            if harder:
                need_room(cluster, where)
            yield seconds
        finally:
            disk.relieve()
        if where in STAYING:
            yield from cluster.hosts[where].come_up()
        elif where == "valkey":
            yield from cluster.valkeys.restart(cluster.valkeys.current)
        else:
            yield from cluster.postgres.settle()

    claim = where if where in (*STAYING, VALKEY) else POSTGRES
    return Fault("disk full", where + (", room needed" if harder else ""), frozenset({claim}), play)


def disk_of(cluster: Cluster, where: str) -> Disk:
    if where in STAYING:
        return cluster.hosts[where].disk
    if where == "valkey":
        return cluster.valkeys.current.disk
    return (cluster.postgres.primary if where == "primary" else cluster.postgres.standby).disk


def need_room(cluster: Cluster, where: str) -> None:
    if where in STAYING:
        send(cluster.pids(f"{where}/_replica"), signal.SIGKILL)
    elif where == "valkey":
        cluster.valkeys.current.ask("SAVE")
    else:
        with contextlib.suppress(psycopg.Error):  # it may end right there
            cluster.postgres.primary.ask("SELECT pg_switch_wal()")


# -- the wire ----------------------------------------------------------------------------------------------------------


def wire(name: str, *, least: float, most: float) -> Callable[[random.Random], Fault]:
    """One link misbehaves for a while."""

    def draw(rng: random.Random) -> Fault:
        link = rng.choice(all_links())
        seconds = rng.uniform(least, most)
        ways: dict[str, dict[str, Any]] = {
            "delay": {"seconds": rng.choice((0.005, 0.05, 0.3))},
            "cut": {"way": rng.choice(("up", "down"))},
            "truncate": {"way": rng.choice(("up", "down")), "bytes": rng.randrange(1, 3000)},
        }
        how = ways.get(name, {})

        def play(cluster: Cluster) -> Play:
            try:
                cluster.links.mode(link, name, **how)
                yield seconds
            finally:
                cluster.links.heal(link)

        detail = "".join(f", {key} {value}" for key, value in how.items())
        return Fault(f"wire: {name}", f"{link} for {seconds:.1f} s{detail}", frozenset({link}), play)

    return draw


def reset(rng: random.Random) -> Fault:
    """All connections of one link are reset."""
    link = rng.choice(all_links())

    def play(cluster: Cluster) -> Play:
        cluster.links.reset(link)
        yield 0.0

    return Fault("wire: reset", link, frozenset({link}), play)
