"""SWAP: a new filter generation takes the place of the old one.

A new generation is a new file: a snapshot of the ledger's keys up to a position, and then every entry since, until it
stands where the page stands. Only then does gen flip. Files are never truncated: readers still look into the old one.
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


def may_flip(build: Build, page: Position | None, state: Lease, now_ns: int) -> bool:
    """May the page's gen become the build's?

    Yes when the build holds exactly what the page says. At a load, where the page's position is replaced as well,
    a build further on may be shown at any time only if there is no older page, and one on another chain or further
    back only when no reader can still carry a lease granted for more. The position is written after gen."""
    return page is None or build.position == page or lease.may_show_less(state, now_ns)
