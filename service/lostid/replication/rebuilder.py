"""The process that fills a new generation from the ledger: `python -m lostid.replication.rebuilder ORDER`."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from lostid.filter.rebuild import capacity_for, rebuild
from lostid.ledger import doc_keys
from lostid.ledger.errors import LedgerError
from lostid.ledger.pool import connect
from lostid.replication.rebuilding import Order, Step

_PR_SET_PDEATHSIG = 1


def main() -> int:
    order = Order.load(sys.argv[1])
    _end_with(order.parent)
    if not order.by_estimate:
        os.nice(5)  # the host is answering meanwhile
    try:
        _build(order)
    except (LedgerError, OSError) as reason:
        print(f"lostid: filter {order.identity.gen} was not made: {reason}", file=sys.stderr)
        return 1
    return 0


def _build(order: Order) -> None:
    with connect(os.environ["LOSTID_DATABASE_URL"], name="lostid-rebuild", statement_timeout="60s") as conn:
        with doc_keys.snapshot(conn) as position:
            if order.contains is not None and not doc_keys.has(conn, order.contains):
                raise LedgerError("the server that was asked does not have what this host holds")
            documents = doc_keys.documents(conn) if order.by_estimate else 0
            capacity = capacity_for(order.capacity, documents)
            rebuild(order.run_dir, order.identity, capacity, position, lambda: doc_keys.chunks(conn), _tell)
        _say(Step(1.0, position))


def _tell(share: float) -> None:
    _say(Step(share))


def _say(step: Step) -> None:
    print(step.dump(), flush=True)


def _end_with(parent: int) -> None:
    """The kernel kills us when the replica's thread ends; it may have ended before we asked."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(main())
