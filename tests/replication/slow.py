"""A replica whose builder, once it has taken its snapshot, waits for a word: `python -m tests.replication.slow`.

Without an argument it is the replica; with one (the order) it is the builder.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lostid.ledger import doc_keys
from lostid.replication import rebuilder, rebuilding, replica
from lostid.replication.rebuilding import Order
from lostid.settings import Settings


def taken(run_dir: Path) -> Path:
    return run_dir / "snapshot-taken"


def go_on(run_dir: Path) -> Path:
    return run_dir / "go-on"


def build() -> int:
    run_dir, chunks = Order.load(sys.argv[1]).run_dir, doc_keys.chunks

    def slowly(*args: Any) -> Iterator[tuple[float, bytes]]:
        taken(run_dir).touch()
        while not go_on(run_dir).exists():
            time.sleep(0.005)
        return chunks(*args)

    doc_keys.chunks = slowly  # type: ignore[assignment]
    return rebuilder.main()


if __name__ == "__main__":
    rebuilding.BUILDER = "tests.replication.slow"  # type: ignore[misc]
    sys.exit(build() if sys.argv[1:] else replica.run(Settings(), None))
