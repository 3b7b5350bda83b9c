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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lostid_client.errors import LostidError, NoAnswer, Refused
from lostid_client.models import Answer, read_answer

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


class Asks(Protocol):
    """As much of `Client` as a recheck needs."""

    def ask_many(
        self,
        documents: Sequence[Mapping[str, Any]],
        *,
        operator: str,
        purpose: str,
        references: Sequence[str | None] | None = None,
    ) -> list[Answer]:
        """See `Client.ask_many`."""
        ...


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

    def recheck(self, client: Asks, on_hit: Callable[[Recheck], None]) -> int:
        """Make up for what waits, oldest first, and return how many were made up for.

        ``on_hit`` is called for every answer that is not clear, a refused number included, before its row is deleted.

        Raises:
            NoAnswer: the line is still down; what is left waits on.
            WrongQueueKey: see the class.
        """
        done = 0
        while rows := self._oldest():
            for group in _groups(rows):
                for recheck in _ask(client, group):
                    if not recheck.answer.clear:
                        on_hit(recheck)
                    with self._lock:
                        self._db.execute("DELETE FROM recheck WHERE id = ?", (recheck.id,))
                    done += 1
        return done

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _oldest(self) -> list[tuple[int, dict[str, Any]]]:
        with self._lock:
            rows = self._db.execute("SELECT id, sealed FROM recheck ORDER BY id LIMIT ?", (_BATCH,)).fetchall()
        return [(row_id, self._open(sealed)) for row_id, sealed in rows]

    def _open(self, sealed: bytes) -> dict[str, Any]:
        from cryptography.exceptions import InvalidTag

        try:
            opened = self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
        except InvalidTag:
            raise WrongQueueKey("the rows of this queue were sealed with another key") from None
        request: dict[str, Any] = json.loads(opened)
        return request


def _groups(rows: list[tuple[int, dict[str, Any]]]) -> list[list[tuple[int, dict[str, Any]]]]:
    """Rows that can go into one batch: the same operator and purpose, in order of first appearance."""
    groups: dict[tuple[Any, Any], list[tuple[int, dict[str, Any]]]] = {}
    for row in rows:
        groups.setdefault((row[1].get("operator"), row[1].get("purpose")), []).append(row)
    return list(groups.values())


def _ask(client: Asks, group: list[tuple[int, dict[str, Any]]]) -> list[Recheck]:
    first = group[0][1]
    documents = [request["document"] for _, request in group]
    try:
        answers = client.ask_many(
            documents,
            operator=first["operator"],
            purpose=first["purpose"],
            references=[request.get("reference") for _, request in group],
        )
    except Refused as refused:
        if refused.status == 422:
            # One malformed request must not hold up the others for ever: it is an adverse answer of its own.
            answers = [read_answer({"error": {"code": refused.code}}, 0.0) for _ in group]
        else:
            raise NoAnswer(refused.code) from refused
    return [Recheck(row_id, request, answer) for (row_id, request), answer in zip(group, answers, strict=True)]
