"""The sequencer: once a second at most, the new entries become leaves, and a checkpoint over them is signed.

Off the path of a receipt, one at a time over all hosts (an advisory lock on the ledger). What is true at each commit:
every leaf commits to an entry that was read and hashed again just before; the tiles are those of the tree whose root is
signed; that tree begins with the one signed before. Whatever does not match is raised as an alarm, and while an alarm
is open nothing is signed, neither checkpoints nor receipts. Older entries are read again in turn, for ever.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Iterable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lostid.ledger import tree
from lostid.ledger.errors import LedgerError, translated
from lostid.ledger.pool import connect
from lostid.ledger.statement import Conn
from lostid.ledger.tree import EntryRow
from lostid.log import import_rows, merkle
from lostid.log.checkpoint import Checkpoint, sign_checkpoint
from lostid.log.growth import edge, grow
from lostid.log.import_rows import ROWS_ALTERED
from lostid.log.jws import thumbprint
from lostid.log.leaf import SALT_BYTES, Leaf, commitment
from lostid.log.reading_again import (
    cover_faults,
    decoded,
    entry_faults,
    flip_of,
    key_faults,
    keys_ended,
    leaf_faults,
    turn_faults,
)
from lostid.log.tiles import TileSource
from lostid.secrets import SigningFile
from lostid.settings import Settings

EVERY_S = 1.0
FIRST_LEAVES, MOST_LEAVES = 1_000, 5_000
SIGNED_S = 0.5
"""Of this process's CPU time, in a turn that signs: what a large ledger's log has behind it is never lost to a stop."""
SWEPT_AT_ONCE = 1_000
SWEPT_S = 0.05
"""Of this process's CPU time: a twentieth of a core, however many documents the entries name."""
KEYS_AT_ONCE = 500
_OF_KEYS = ("key_altered", "key_brought_back")
_RETRY_S = 1.0

_log = logging.getLogger(__name__)


class Sequencer:
    """One ledger connection that holds the lock. `turn` is one look at the ledger."""

    def __init__(self, conn: Conn, origin: str, private: Ed25519PrivateKey) -> None:
        self._conn = conn
        self._origin = origin
        self._leaves = FIRST_LEAVES
        self._swept = 0
        self._at_once = SWEPT_AT_ONCE
        self._keys_seen = -1
        self._ended: set[str] = set()
        self._swept_imports = import_rows.Sweep()
        self.sign_with(private)

    def sign_with(self, private: Ed25519PrivateKey) -> None:
        """The key that signs from now on, and that everybody finds among the published ones."""
        self._private = private
        public = private.public_key().public_bytes_raw()
        tree.ADD_KEY.run(self._conn, {"kid": thumbprint(public), "public": public})

    def turn(self, now_ms: int) -> bool:
        """Sign what is new; True when there may be more at once."""
        self._look_at_alarms()
        tip = tree.TIP.run(self._conn)
        self._sweep(tip.size)
        if tip.alarms:
            return False
        head = tree.HEAD_SEQ.run(self._conn)
        upto = min(head, tip.size + self._leaves)
        if upto <= tip.size:
            return False
        began = time.process_time()
        rows = self._rows(tip.size, upto)
        if self._raise_all([*self._new_faults(rows, tip.size, upto), *self._import_faults(rows)]):
            return False
        self._extend(tip, rows, now_ms)
        if upto == head:
            return False
        self._leaves = next_many(upto - tip.size, time.process_time() - began, MOST_LEAVES, SIGNED_S)
        return True

    def _extend(self, tip: tree.Tip, rows: list[EntryRow], now_ms: int) -> None:
        salts = [os.urandom(SALT_BYTES) for _ in rows]
        leaves = [
            Leaf(row.seq, row.recorded_ms, commitment(salt, row.hash)).encode()
            for row, salt in zip(rows, salts, strict=True)
        ]
        old = tree.tiles(self._conn, edge(tip.size))
        try:
            if tip.size and merkle.root(TileSource(old), tip.size) != tip.root:
                raise ValueError("the tiles do not lead to the root that was signed")
            changed = grow(old, tip.size, [merkle.leaf_hash(leaf) for leaf in leaves])
        except (KeyError, ValueError):
            self._raise_all([(tip.size, "tiles_altered")])
            return
        size = tip.size + len(rows)
        root = merkle.root(TileSource({**old, **changed}), size)
        note = sign_checkpoint(Checkpoint(self._origin, size, root), self._private)
        with translated(writing=True), self._conn.transaction():
            seqs = [row.seq for row in rows]
            tree.PUT_LEAVES.run(self._conn, {"seqs": seqs, "leaves": leaves, "salts": salts})
            levels, places = [name[0] for name in changed], [name[1] for name in changed]
            tree.PUT_TILES.run(
                self._conn, {"levels": levels, "places": places, "hashes": [changed[name] for name in changed]}
            )
            tree.PUT_CHECKPOINT.run(self._conn, {"size": size, "root": root, "note": note, "now_ms": now_ms})

    def _key_faults(self) -> list[tuple[int, str]]:
        found = tree.API_KEYS.run(self._conn, {"after": self._keys_seen, "limit": KEYS_AT_ONCE})
        self._keys_seen = found[-1][0] if len(found) == KEYS_AT_ONCE else -1
        return list(key_faults([row for _, row in found], self._ended))

    def _new_faults(self, rows: list[EntryRow], after: int, upto: int) -> list[tuple[int, str]]:
        self._ended |= keys_ended(rows)
        effects = tree.effects_between(self._conn, after, upto)
        turns = tree.TURNS.run(self._conn, {"after": after, "upto": upto})
        of_entries = entry_faults(rows, after, upto, self._hash_of(after))
        told = decoded(rows)
        return [*of_entries, *cover_faults(rows, told, effects), *turn_faults(rows, told, turns)]

    def _import_faults(self, rows: list[EntryRow]) -> list[tuple[int, str]]:
        """Releases and withdrawals of imports whose rows are not those that the entry names."""
        flips = [(row.seq, flip) for row in rows if (flip := flip_of(row)) is not None]
        return [(seq, ROWS_ALTERED) for seq, flip in flips if not import_rows.named(self._conn, flip)]

    def _sweep(self, size: int) -> None:
        """Read some older entries and API keys again, after those of the last turn; at the end from the beginning."""
        self._raise_all(self._key_faults())
        if size == 0:
            return
        after = self._swept if self._swept < size else 0
        upto = min(size, after + self._at_once)
        began = time.process_time()
        self._raise_all(self._old_faults(after, upto))
        self._at_once = next_many(upto - after, time.process_time() - began, SWEPT_AT_ONCE, SWEPT_S)
        self._swept = upto
        self._raise_all(self._swept_imports.turn(self._conn))

    def _old_faults(self, after: int, upto: int) -> list[tuple[int, str]]:
        rows = self._rows(after, upto)
        leaves = tree.LEAVES.run(self._conn, {"after": after, "upto": upto})
        return [*self._new_faults(rows, after, upto), *leaf_faults(rows, leaves)]

    def _look_at_alarms(self) -> None:
        """An alarm ends when what it is about matches again; that it was raised stays on record."""
        for alarm in tree.OPEN_ALARMS.run(self._conn):
            if alarm.what in _OF_KEYS:
                whole = tree.API_KEYS.run(self._conn, {"after": -1, "limit": None})
                still = (alarm.seq, alarm.what) in key_faults([row for _, row in whole], self._ended)
            elif alarm.what == "tiles_altered":
                tip = tree.TIP.run(self._conn)
                try:
                    still = merkle.root(TileSource(tree.tiles(self._conn, edge(tip.size))), tip.size) != tip.root
                except (KeyError, ValueError):
                    still = True
            elif alarm.what == ROWS_ALTERED:
                flips = [flip_of(row) for row in self._rows(alarm.seq - 1, alarm.seq)]
                still = any(flip is None or not import_rows.whole(self._conn, flip) for flip in flips)
            else:
                still = (alarm.seq, alarm.what) in self._old_faults(alarm.seq - 1, alarm.seq)
                if alarm.seq > tree.TIP.run(self._conn).size:  # it has no leaf yet
                    rows = self._rows(alarm.seq - 1, alarm.seq)
                    still = (alarm.seq, alarm.what) in self._new_faults(rows, alarm.seq - 1, alarm.seq)
            if not still:
                tree.CLEAR.run(self._conn, {"number": alarm.number})
                _log.warning("alarm cleared: entry %d: %s", alarm.seq, alarm.what)

    def _raise_all(self, faults: Iterable[tuple[int, str]]) -> bool:
        raised = False
        for seq, what in faults:
            raised = True
            if tree.RAISE.run(self._conn, {"seq": seq, "what": what}):
                _log.error("ALARM: entry %d: %s; nothing is signed until this is settled", seq, what)
        return raised

    def _rows(self, after: int, upto: int) -> list[EntryRow]:
        return tree.ENTRIES.run(self._conn, {"after": after, "upto": upto})

    def _hash_of(self, seq: int) -> bytes | None:
        rows = self._rows(seq - 1, seq)
        return rows[0].hash if rows else None


def next_many(entries: int, took_s: float, most: int, room_s: float) -> int:
    """How many entries the next turn takes, by how long as many as these took in the last."""
    return max(1, min(most, 2 * entries, int(entries * room_s / max(took_s, 1e-6))))


def run(settings: Settings, fd: int | None) -> int:
    """The process. Ends on SIGTERM at once: whatever is half done is rolled back."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    assert settings.database_url is not None  # noqa: S101  the supervisor has resolved it
    signing = SigningFile(settings.secrets_path)
    while True:
        try:
            with connect(settings.database_url, name="lostid-log") as conn:
                while not tree.ONLY_ONE.run(conn):
                    time.sleep(EVERY_S)
                seed = signing.seed()
                sequencer = Sequencer(conn, settings.log_origin, Ed25519PrivateKey.from_private_bytes(seed))
                while True:
                    if signing.seed() != seed:
                        seed = signing.seed()
                        sequencer.sign_with(Ed25519PrivateKey.from_private_bytes(seed))
                    if not sequencer.turn(time.time_ns() // 1_000_000):
                        time.sleep(EVERY_S)
        except LedgerError as error:
            _log.warning("the log waits for the ledger: %s", error)
            time.sleep(_RETRY_S)
