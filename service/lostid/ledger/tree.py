"""Rows of the Merkle log: leaves, tiles, checkpoints, alarms, signing keys. What they mean is for `lostid.log`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lostid.domain.covers import Action, Effect
from lostid.domain.staged import Flip
from lostid.ledger import covers
from lostid.ledger.statement import AsyncConn, Conn, Statement, done, nothing


@dataclass(frozen=True, slots=True)
class Tip:
    """The last checkpoint. `size` 0: nothing has been signed yet. `alarms`: how many are open."""

    size: int
    root: bytes
    note: str
    alarms: int


@dataclass(frozen=True, slots=True)
class LeafRow:
    seq: int
    leaf: bytes
    salt: bytes | None


@dataclass(frozen=True, slots=True)
class TurnRow:
    """What became of an import at an entry: ADD, WITHDRAW or QUARANTINE, as of all its rows."""

    seq: int
    action: Action
    flip: Flip


@dataclass(frozen=True, slots=True)
class Alarm:
    number: int
    seq: int
    what: str


@dataclass(frozen=True, slots=True)
class Opening:
    """An entry, and what ties it to its leaf (None: deleted)."""

    seq: int
    prev: bytes
    recorded_ms: int
    body: bytes
    salt: bytes | None


@dataclass(frozen=True, slots=True)
class ApiKeyRow:
    """An API key as its row has it now, and the body of the entry that is said to have made it."""

    id: str
    created_seq: int
    revoked: bool
    facts: Mapping[str, object]
    body: bytes | None


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key that signs or signed, as it stands there: whether it is ours is for `log.keychain` to say."""

    kid: str
    public: bytes
    predecessor: str | None
    by_predecessor: str | None
    by_itself: str | None


ONLY_ONE: Final = Statement("SELECT pg_try_advisory_lock(hashtextextended('lostid.log', 0))", lambda r: bool(r[0][0]))

TIP = Statement(
    """
    SELECT coalesce(c.size, 0), coalesce(c.root, ''::bytea), coalesce(c.note, ''),
           (SELECT count(*) FROM log_alarms WHERE cleared_at IS NULL)
      FROM (SELECT) one LEFT JOIN LATERAL (SELECT * FROM log_checkpoints ORDER BY size DESC LIMIT 1) c ON true
    """,
    lambda rows: Tip(*rows[0]),
)
CHECKPOINTS_AT = Statement(
    "SELECT note FROM log_checkpoints WHERE size >= %(size)s ORDER BY size LIMIT 1",
    lambda rows: str(rows[0][0]) if rows else None,
)
TILES = Statement(
    """
    SELECT t.level, t.place, t.hashes FROM log_tiles t
      JOIN unnest(%(levels)s::int[], %(places)s::int8[]) AS w (level, place) USING (level, place)
    """,
    lambda rows: {(level, place): bytes(hashes) for level, place, hashes in rows},
)
PUT_TILES = Statement(
    """
    INSERT INTO log_tiles (level, place, hashes)
    SELECT * FROM unnest(%(levels)s::int[], %(places)s::int8[], %(hashes)s::bytea[])
        ON CONFLICT (level, place) DO UPDATE SET hashes = excluded.hashes
    """,
    nothing,
    writes=True,
)
PUT_LEAVES = Statement(
    """
    INSERT INTO log_leaves (seq, leaf, salt)
    SELECT * FROM unnest(%(seqs)s::int8[], %(leaves)s::bytea[], %(salts)s::bytea[])
    """,
    nothing,
    writes=True,
)
LEAVES = Statement(
    "SELECT seq, leaf, salt FROM log_leaves WHERE seq > %(after)s AND seq <= %(upto)s ORDER BY seq",
    lambda rows: [LeafRow(*row) for row in rows],
)
# Entries whose leaf is signed, with its salt. As much text as a reader can take at a time, one entry at least.
OPENINGS = Statement(
    """
    SELECT seq, prev, recorded_ms, body, salt
      FROM (SELECT e.seq, e.prev, e.recorded_ms, e.body, l.salt, sum(octet_length(e.body)) OVER (ORDER BY e.seq) AS upto
              FROM entries e JOIN log_leaves l USING (seq)
             WHERE seq > %(after)s AND seq <= least(%(size)s, %(after)s + %(limit)s)) o
     WHERE upto - octet_length(body) < %(bytes)s ORDER BY seq
    """,
    lambda rows: [Opening(*row) for row in rows],
)
PUT_CHECKPOINT = Statement(
    "INSERT INTO log_checkpoints (size, root, note, signed_ms) VALUES (%(size)s, %(root)s, %(note)s, %(now_ms)s)",
    nothing,
    writes=True,
)
RAISE = Statement(
    """
    INSERT INTO log_alarms (seq, what) VALUES (%(seq)s, %(what)s)
        ON CONFLICT (seq, what) WHERE cleared_at IS NULL DO NOTHING RETURNING number
    """,
    done,
    writes=True,
)
OPEN_ALARMS = Statement(
    "SELECT number, seq, what FROM log_alarms WHERE cleared_at IS NULL ORDER BY seq LIMIT 100",
    lambda rows: [Alarm(*row) for row in rows],
)
CLEAR = Statement("UPDATE log_alarms SET cleared_at = now() WHERE number = %(number)s", nothing, writes=True)
ADD_KEY = Statement(
    "INSERT INTO signing_keys (kid, public) VALUES (%(kid)s, %(public)s) ON CONFLICT (kid) DO NOTHING",
    nothing,
    writes=True,
)
SUCCEED = Statement(
    """
    INSERT INTO signing_keys (kid, public, predecessor, by_predecessor, by_itself)
    VALUES (%(kid)s, %(public)s, %(predecessor)s, %(by_predecessor)s, %(by_itself)s)
    """,
    nothing,
    writes=True,
)
ROTATING: Final = Statement(
    "SELECT pg_try_advisory_lock(hashtextextended('lostid.signing', 0))", lambda rows: bool(rows[0][0])
)
KEYS = Statement(
    "SELECT kid, public, predecessor, by_predecessor, by_itself FROM signing_keys ORDER BY added_at, kid",
    lambda rows: [KeyRow(*row) for row in rows],
)
# Raw: a row that somebody changed by hand may not decode, and that must be seen rather than raised.
ENTRIES = Statement(
    """
    SELECT seq, prev, hash, recorded_ms, body FROM entries
     WHERE seq > %(after)s AND seq <= %(upto)s ORDER BY seq
    """,
    lambda rows: [EntryRow(*row) for row in rows],
)
EFFECTS = Statement(
    f"SELECT {covers.COLUMNS} FROM covers c WHERE seq > %(after)s AND seq <= %(upto)s ORDER BY seq, ordinal",
    lambda rows: [covers.effect(row) for row in rows],
)
TURNS = Statement(
    f"""
    SELECT release_seq, {Action.ADD.value}, number, staged, digest FROM imports
     WHERE release_seq > %(after)s AND release_seq <= %(upto)s
     UNION ALL
    SELECT t.seq, t.action, t.import, i.staged, i.digest FROM import_turns t LEFT JOIN imports i ON i.number = t.import
     WHERE t.seq > %(after)s AND t.seq <= %(upto)s
    """,
    lambda rows: [TurnRow(row[0], Action(row[1]), Flip(*row[2:])) for row in rows],
)
API_KEYS = Statement(
    """
    SELECT k.slot, k.id, k.created_seq, k.revoked_seq IS NOT NULL, e.body, k.env, k.org, k.station, k.operator, k.roles,
           k.purposes, k.reasons, k.rate, encode(k.secret_sha256, 'hex')
      FROM api_keys k LEFT JOIN entries e ON e.seq = k.created_seq AND e.kind = 'key.created'
     WHERE k.slot > %(after)s ORDER BY k.slot LIMIT %(limit)s
    """,
    lambda rows: [(int(row[0]), _api_key(row)) for row in rows],
)
HEAD_SEQ = Statement("SELECT seq FROM head", lambda rows: int(rows[0][0]))


@dataclass(frozen=True, slots=True)
class EntryRow:
    """A line of the ledger as it stands there, believed in nothing."""

    seq: int
    prev: bytes
    hash: bytes
    recorded_ms: int
    body: bytes


_KEY_FACTS: Final = ("env", "org", "station", "operator", "roles", "purposes", "reasons", "rate", "secret_sha256")


def _api_key(row: tuple[Any, ...]) -> ApiKeyRow:
    return ApiKeyRow(row[1], row[2], row[3], dict(zip(_KEY_FACTS, row[5:], strict=True)), row[4])


def tiles(conn: Conn, names: Sequence[tuple[int, int]]) -> Mapping[tuple[int, int], bytes]:
    """The named tiles (level, index) that there are, as full as they are."""
    return TILES.run(conn, _names(names))


async def atiles(conn: AsyncConn, names: Sequence[tuple[int, int]]) -> Mapping[tuple[int, int], bytes]:
    """The same for a worker."""
    return await TILES.arun(conn, _names(names))


def effects_between(conn: Conn, after: int, upto: int) -> list[Effect]:
    """The rows of `covers` of these entries."""
    return EFFECTS.run(conn, {"after": after, "upto": upto})


def _names(names: Sequence[tuple[int, int]]) -> dict[str, list[int]]:
    return {"levels": [level for level, _ in names], "places": [place for _, place in names]}
