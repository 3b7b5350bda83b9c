"""SWAP: a new filter generation takes the place of the old one.

A new generation is a new file: a snapshot of the ledger's keys up to a position, and then every entry since, until it
stands where the page stands. Only then does gen flip. Files are never truncated: readers still look into the old one.
Carrying over, comparing and flipping are done by the one thread that also applies, so nothing is applied in between.
"""

from dataclasses import dataclass

from lostid.replication import apply, lease
from lostid.replication.lease import Lease
from lostid.replication.rules import Link, Position


@dataclass(frozen=True, slots=True)
class Build:
    """The generation being built and how far it is."""

    gen: int
    position: Position


def carry(build: Build, entry: Link) -> Build | None:
    """One entry more, after its bits were set in the new map. None: it does not continue the build; begin anew."""
    step = apply.accept(build.position, entry)
    return None if isinstance(step, apply.Reload) else Build(build.gen, step.position)


def may_flip(build: Build, page: Position) -> bool:
    """While the host answers: the build holds exactly what the page says. The page's position stays as it is."""
    return build.position == page


def may_show(build: Build, page: Position | None, state: Lease, now_ns: int) -> bool:
    """At a load the page's position is replaced too, perhaps by one further back or on another chain.

    Anything may be shown where nothing was; the same may be shown again; else no reader may still carry a lease
    granted for more. A crash half-way must not leave the old position with the new gen: the page's position is taken
    down first, then gen flips, then the build's position is written."""
    return page is None or build.position == page or lease.may_show_less(state, now_ns)
