"""The process that makes one mirror's snapshot: `python -m lostid.mirror.builder DIRECTORY MIRROR PARENT`.

Off the workers' loops and below them in priority. Tokens are opened here, keyed at once with the mirror's key, and
never written down.
"""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from lostid.domain.canaries import canary_tokens
from lostid.domain.keys import KEY_BYTES, Keyring, mirror_hash
from lostid.filter.bloom import MappedBloom, Sizing
from lostid.ledger import snapshot, tokens
from lostid.ledger.errors import LedgerError, LedgerFault
from lostid.ledger.pool import connect
from lostid.ledger.statement import Conn
from lostid.mirror.shelf import FORMAT, HEADER_BYTES, MOST_BITS_BYTES, Facts, header, path_of
from lostid.mirror.tail import unsealed
from lostid.secrets import load_or_make
from lostid.settings import Settings

_LEAST_CAPACITY: Final = 10_000
_ROOM: Final = 1.25  # for what is reported before the mirror takes its next snapshot
_PR_SET_PDEATHSIG: Final = 1


def main() -> int:
    directory, mirror_id, parent = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it ended before we asked
        return 1
    os.nice(5)
    settings = Settings()
    assert settings.database_url is not None  # noqa: S101  a worker's environment says it
    secrets = load_or_make(settings.secrets_path, make=False)
    keyring = Keyring(secrets.outer, secrets.pepper, secrets.sealing)
    try:
        with connect(settings.database_url, name="lostid-mirror", statement_timeout="10min") as conn:
            build(conn, keyring, mirror_id, directory)
    except (LedgerError, OSError) as reason:
        print(f"lostid: the snapshot of {mirror_id} was not made: {reason}", file=sys.stderr)
        return 1
    return 0


def build(conn: Conn, keyring: Keyring, mirror_id: str, directory: Path) -> Facts:
    """The mirror's snapshot as of now, under its name. Raises LedgerError, OSError; then nothing has changed."""
    as_of_ms = time.time_ns() // 1_000_000  # before the snapshot: it may hold more than this says, never less
    with snapshot.snapshot(conn) as head:
        canaries = canary_tokens(keyring)
        if tokens.WITHOUT_TOKEN.run(conn, {"known": list(canaries)}):
            raise LedgerFault("a document has no sealed token")
        documents = tokens.COUNT.run(conn) + len(canaries)
        sizing = Sizing.of(max(_LEAST_CAPACITY, int(documents * _ROOM)))
        if sizing.bytes > MOST_BITS_BYTES:
            raise LedgerFault(f"{documents} documents are more than a mirror can hold")
        aside = path_of(directory, mirror_id).with_suffix(".new")
        try:
            file = _mapped(aside, HEADER_BYTES + sizing.bytes)
            bits = memoryview(file)[HEADER_BYTES:]
            kept = _fill(MappedBloom(bits, sizing), _positions(conn, keyring, mirror_id))
            facts = Facts(
                FORMAT, keyring.key_id.hex(), mirror_id, head.seq, head.hash.hex(), as_of_ms, kept,
                sizing.capacity, sizing.slices, sizing.bits_per_slice, sizing.bytes, hashlib.sha256(bits).hexdigest(),
            )  # fmt: skip
            file[:HEADER_BYTES] = header(facts)
            file.flush()
            aside.rename(path_of(directory, mirror_id))
        finally:
            aside.unlink(missing_ok=True)
    return facts


def _mapped(path: Path, size: int) -> mmap.mmap:
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.truncate(fd, size)
        return mmap.mmap(fd, size)
    finally:
        os.close(fd)


def _fill(bloom: MappedBloom, positions: Iterator[bytes]) -> int:
    """How many documents it holds then."""
    kept = 0
    for some in positions:
        bloom.add_many(some, recount=False)
        kept += len(some) // KEY_BYTES
    return kept


def _positions(conn: Conn, keyring: Keyring, mirror_id: str) -> Iterator[bytes]:
    """Those of every document of which something is in force, and the canaries: a mirror proves its secret by them."""
    hashed = mirror_hash(keyring.mirror_key(mirror_id))

    def position(token: bytes) -> bytes:
        made = hashed.copy()
        made.update(token)
        return made.digest()

    canaries = canary_tokens(keyring)
    yield b"".join([position(token) for token in canaries.values()])
    left_out = tokens.without_record(conn)
    for chunk in tokens.chunks(conn):
        pairs = (chunk[at : at + tokens.PAIR] for at in range(0, len(chunk), tokens.PAIR))
        yield b"".join(
            [position(unsealed(keyring, canaries, pair)) for pair in pairs if pair[:KEY_BYTES] not in left_out]
        )


if __name__ == "__main__":
    sys.exit(main())
