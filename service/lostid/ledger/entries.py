"""Entries: immutable, numbered without a gap, each carrying the hash of the one before.

A body is canonical JSON with its version, and holds everything the entry says, its effects on document keys included;
the chain hash covers it. The table `covers` is made *from* the body, in the same statement, and so cannot differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from lostid.domain.covers import Effect
from lostid.domain.staged import Flip
from lostid.ledger import bodies
from lostid.ledger.statement import AsyncConn, Conn, Params, Statement, nothing

CHANNEL: Final = "lostid_entry"  # NOTIFY on every append; it only wakes
_AUTH_KINDS: Final = ("key.", "station.", "operator.")
RELEASED: Final = "import.released"
WITHDRAWN: Final = "import.withdrawn"
RESTORED: Final = "import.restored"


@dataclass(frozen=True, slots=True)
class Head:
    seq: int
    hash: bytes
    recorded_ms: int


@dataclass(frozen=True, slots=True)
class Appended:
    """Where an entry stands. It counts only once the transaction around it has been committed."""

    seq: int
    prev: bytes
    hash: bytes
    recorded_ms: int


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry before it has a place. Effects are in order; their `seq` and `ordinal` are given by the append.

    `facts` go into the body as they are: JSON values, never a document number.
    """

    kind: str
    id: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    effects: Sequence[Effect] = ()
    sealed: Mapping[bytes, bytes] = field(default_factory=dict)  # document key -> sealed token

    def body(self) -> bytes:
        return bodies.encode(self.kind, self.id, self.facts, self.effects)


@dataclass(frozen=True, slots=True)
class Entry:
    seq: int
    prev: bytes
    hash: bytes
    kind: str
    id: str
    recorded_ms: int
    body: bytes
    effects: tuple[Effect, ...]
    facts: Mapping[str, Any]

    @property
    def keys(self) -> list[bytes]:
        """The document keys it touches, each once."""
        return list(dict.fromkeys(effect.key for effect in self.effects))

    @property
    def flip(self) -> Flip | None:
        """The import that this entry puts in force, or takes back, with all its rows. They stand elsewhere."""
        return flip_of(self.kind, self.facts)

    def intact(self) -> bool:
        """Whether the hash is that of what stands here."""
        return self.hash == chain_hash(self.prev, self.seq, self.recorded_ms, self.body)


def flip_of(kind: str, facts: Mapping[str, Any]) -> Flip | None:
    """What an entry of this kind says of an import as a whole. None also for one that was in force for nobody."""
    if kind not in (RELEASED, WITHDRAWN, RESTORED) or not facts.get("digest"):
        return None
    return Flip(facts["number"], facts["staged"], bytes.fromhex(facts["digest"]))


def chain_hash(prev: bytes, seq: int, recorded_ms: int, body: bytes) -> bytes:
    """The same is computed in SQL by APPEND; a test holds the two together."""
    place = seq.to_bytes(8, "big") + recorded_ms.to_bytes(8, "big")
    return sha256(b"lostid.entry.v1\0" + prev + place + body).digest()


def is_auth_event(kind: str) -> bool:
    """Whether a host must know this entry before it may trust its cached API keys (the page's auth_seq)."""
    return kind.startswith(_AUTH_KINDS)


# The lock on the ledger's head is taken by this UPDATE and held until the transaction's commit, so nothing that waits
# for a client may stand between the two. recorded_ms never goes back, whatever the ledger's clock does.
MOVE_HEAD: Final = """
    UPDATE head
       SET (seq, prev, recorded_ms, hash) = (
           SELECT head.seq + 1, head.hash, stamp.ms,
                  sha256('lostid.entry.v1'::bytea || '\\x00'::bytea || head.hash
                         || int8send(head.seq + 1) || int8send(stamp.ms) || %(body)s::bytea)
             FROM (SELECT greatest(head.recorded_ms, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) AS ms
                  ) stamp)
"""
PLACE: Final = "head.seq, head.prev, head.hash, head.recorded_ms"
# What follows from a moved head, in the same statement: the line itself, its effects, its sealed tokens.
WRITE_ENTRY: Final = """
    line AS (
        INSERT INTO entries (seq, prev, hash, recorded_ms, kind, id, body)
        SELECT seq, prev, hash, recorded_ms, %(kind)s, %(id)s, %(body)s::bytea FROM moved
    ), effects AS (
        INSERT INTO covers (doc_key, seq, ordinal, action, report_id,
                            kind, watermark, serial_tag, final, open_ended, reason, effective_ms)
        SELECT decode(e.key, 'hex'), moved.seq, e.ordinal - 1, e.action, e.report_id,
               e.cover, e.watermark, decode(e.serial_tag, 'hex'), e.final, e.open_ended, e.reason, e.effective_ms
          FROM moved, ROWS FROM (
                   jsonb_to_recordset(convert_from(%(body)s::bytea, 'UTF8')::jsonb -> 'effects') AS (
                       key text, action int2, report_id text, cover int2, watermark int4, serial_tag text,
                       final bool, open_ended bool, reason text, effective_ms int8)
               ) WITH ORDINALITY AS e (key, action, report_id, cover, watermark, serial_tag,
                                       final, open_ended, reason, effective_ms, ordinal)
    ), tokens AS (
        INSERT INTO sealed_tokens (doc_key, sealed)
        SELECT t.doc_key, t.sealed
          FROM moved, unnest(%(sealed_keys)s::bytea[], %(sealed)s::bytea[]) AS t (doc_key, sealed)
            ON CONFLICT (doc_key) DO NOTHING
    )
"""
# NOTIFY stands in the reply's row, because only a moved head may wake anybody.
REPLY: Final = f"SELECT seq, prev, hash, recorded_ms, pg_notify('{CHANNEL}', seq::text) FROM moved"

HEAD = Statement("SELECT seq, hash, recorded_ms FROM head", lambda rows: Head(*rows[0]))

# For a decision that must see every entry before its own. Whoever stands still while holding the ledger is cut off.
_HOLD = Statement(
    "SELECT set_config('idle_in_transaction_session_timeout', '2s', true) FROM (SELECT FROM head FOR UPDATE) held",
    nothing,
)
_NOW = Statement(
    "SELECT greatest(recorded_ms, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM head",
    lambda rows: int(rows[0][0]),
)

APPEND = Statement(
    f"WITH moved AS ({MOVE_HEAD} RETURNING {PLACE}), {WRITE_ENTRY} {REPLY}",
    lambda rows: Appended(*rows[0][:4]),
    writes=True,
)

READ_AFTER = Statement(
    """
    SELECT seq, prev, hash, recorded_ms, body FROM entries
     WHERE seq > %(after)s ORDER BY seq LIMIT %(limit)s
    """,
    lambda rows: [decode(row) for row in rows],
)

AT = Statement(
    "SELECT seq, prev, hash, recorded_ms, body FROM entries WHERE seq = %(seq)s",
    lambda rows: decode(rows[0]) if rows else None,
)

OF_DOCUMENT = Statement(
    """
    SELECT seq, prev, hash, recorded_ms, body FROM entries
     WHERE seq IN (SELECT seq FROM effects WHERE doc_key = %(key)s
                    UNION
                   SELECT l.seq FROM report_lines l
                    WHERE l.report_id IN (SELECT report_id FROM covers WHERE doc_key = %(key)s))
       AND seq > %(after)s
     ORDER BY seq LIMIT %(limit)s
    """,
    lambda rows: [decode(row) for row in rows],
)


def decode(row: tuple[Any, ...]) -> Entry:
    seq, prev, hash_, recorded_ms, body = row
    told = bodies.decode(body, seq)
    return Entry(seq, prev, hash_, told.kind, told.id, recorded_ms, body, told.effects, told.facts)


def append_params(draft: Draft) -> Params:
    return {
        "kind": draft.kind,
        "id": draft.id,
        "body": draft.body(),
        "sealed_keys": list(draft.sealed.keys()),
        "sealed": list(draft.sealed.values()),
    }


async def append(conn: AsyncConn, draft: Draft) -> Appended:
    """The next entry, in the caller's transaction or one of its own. It locks the head: the last step before COMMIT."""
    return await APPEND.arun(conn, append_params(draft))


async def hold(conn: AsyncConn) -> int:
    """Lock the head until the end of the caller's transaction. What is read from here on is all there is; the ledger's
    time now."""
    await _HOLD.arun(conn)
    return await _NOW.arun(conn)


def read_after(conn: Conn, seq: int, limit: int) -> list[Entry]:
    """The entries after `seq` in order. Whether they continue the caller's chain is for the caller to see."""
    return READ_AFTER.run(conn, {"after": seq, "limit": limit})


def at(conn: Conn, seq: int) -> Entry | None:
    return AT.run(conn, {"seq": seq})


def head(conn: Conn) -> Head:
    return HEAD.run(conn)


async def of_document(conn: AsyncConn, key: bytes, after: int, limit: int) -> list[Entry]:
    """Every entry that touches a document or speaks of a report on it, oldest first."""
    return await OF_DOCUMENT.arun(conn, {"key": key, "after": after, "limit": limit})
