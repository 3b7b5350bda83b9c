"""The durable queue of ``proceed_and_recheck``: checks that could not be made, made as soon as the line is back.

Rows are sealed (AES-256-GCM) with a key that the caller gives and keeps elsewhere, and deleted after their recheck: a
stolen queue file tells how many checks wait, nothing else. A row is on the disk before `put` returns; it is deleted
only after its answer was handed to ``on_hit`` where it was adverse, so a crash in between rechecks it once more.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lostid_client.errors import LostidError
from lostid_client.models import Answer

KEY_BYTES = 32
MOST_ROWS = 100_000
_BATCH = 500
_NONCE_BYTES = 12
_SCHEMA = "CREATE TABLE IF NOT EXISTS recheck (id INTEGER PRIMARY KEY AUTOINCREMENT, sealed BLOB NOT NULL)"


class QueueFull(LostidError):
    """As many checks wait as the queue may hold: nobody may proceed without being rechecked."""


class WrongQueueKey(LostidError):
    """The rows were sealed with another key."""


@dataclass(frozen=True, slots=True)
class Recheck:
    """A check made up for. ``request`` is what was asked when there was no answer."""

    id: int
    request: Mapping[str, Any]
    answer: Answer


Kept = tuple[int, dict[str, Any]]


class RecheckQueue:
    """A queue in one SQLite file.

    Args:
        path: the file; made with mode 0600.
        key: 32 bytes; never stored by the queue.
    """

    def __init__(self, path: str | Path, key: bytes, *, most: int = MOST_ROWS) -> None:
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as missing:
            raise LostidError("the queue needs: pip install 'lostid-client[queue]'") from missing
        if len(key) != KEY_BYTES:
            raise LostidError(f"the queue's key has {KEY_BYTES} bytes")
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._cipher = AESGCM(key)
        self._lock = threading.Lock()  # guards the connection: SQLite's own is per statement
        self._most = most
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA secure_delete = ON")
        self._db.execute(_SCHEMA)

    def __len__(self) -> int:
        with self._lock:
            count: int = self._db.execute("SELECT count(*) FROM recheck").fetchone()[0]
            return count

    def put(self, request: Mapping[str, Any]) -> int:
        """Keep a check; it is on the disk when this returns.

        Raises:
            QueueFull: see the class.
        """
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, json.dumps(request).encode(), None)
        with self._lock:
            # A bounded count: reading 100,000 keys for each insert would make a long outage slower and slower.
            full = self._db.execute("SELECT 1 FROM recheck LIMIT 1 OFFSET ?", (self._most - 1,)).fetchone()
            if full is not None:
                raise QueueFull(f"{self._most} checks wait")
            row = self._db.execute("INSERT INTO recheck (sealed) VALUES (?) RETURNING id", (sealed,)).fetchone()
        return int(row[0])

    def oldest(self) -> list[Kept]:
        """The first rows, in the order in which they were put, and their numbers.

        Raises:
            WrongQueueKey: see the class.
        """
        with self._lock:
            rows = self._db.execute("SELECT id, sealed FROM recheck ORDER BY id LIMIT ?", (_BATCH,)).fetchall()
        return [(row_id, self._open(sealed)) for row_id, sealed in rows]

    def delete(self, row_ids: Sequence[int]) -> None:
        """Delete rows, all with one write to the disk."""
        with self._lock:
            self._db.execute("DELETE FROM recheck WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(row_ids),))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _open(self, sealed: bytes) -> dict[str, Any]:
        from cryptography.exceptions import InvalidTag

        try:
            opened = self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
        except InvalidTag:
            raise WrongQueueKey("the rows of this queue were sealed with another key") from None
        request: dict[str, Any] = json.loads(opened)
        return request
