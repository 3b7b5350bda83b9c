"""API keys: the secret is seen once, and every host learns of keys through entries."""

import asyncio
from dataclasses import replace
from typing import LiteralString

import pytest

from lostid.domain.position import Position
from lostid.ledger import apikeys, people
from lostid.ledger.apikeys import NewKey, secret_hash
from lostid.ledger.entries import is_auth_event
from lostid.ledger.pool import LedgerPool
from lostid.ledger.statement import Conn
from tests.ledger.making import verified_chain

POLICE = NewKey(
    env="live",
    org="police",
    roles=("reporter", "checker"),
    station="station-7",
    operator="officer-117",
    purposes=("police.inquiry",),
    reasons=("lost", "stolen"),
    rate=50,
)
HOTEL = NewKey(env="test", org="hotel", roles=("checker",))


async def test_created(pool: LedgerPool) -> None:
    """A key is found by the hash of its secret, with all it may do; nothing set means no limit."""
    secret, made = await pool.write(apikeys.create, "key_1", POLICE)
    other, _ = await pool.write(apikeys.create, "key_2", HOTEL)
    table = await pool.read(apikeys.load_all)
    assert len(table.by_secret) == 2
    key, plain = table.by_secret[secret_hash(secret)], table.by_secret[secret_hash(other)]
    assert (key.id, key.env, key.org, key.station, key.operator) == (
        "key_1",
        "live",
        "police",
        "station-7",
        "officer-117",
    )
    assert key.roles == {"reporter", "checker"}
    assert (key.purposes, key.reasons, key.rate) == (frozenset({"police.inquiry"}), frozenset({"lost", "stolen"}), 50)
    assert (key.created_seq, key.revoked_seq) == (made.seq, None)
    assert (plain.station, plain.operator, plain.rate) == (None, None, None)
    assert (plain.purposes, plain.reasons) == (frozenset(), frozenset())
    assert key.slot != plain.slot


async def test_secret(pool: LedgerPool, conn: Conn) -> None:
    """Secrets have 256 bits, say which environment they are for, and are stored nowhere."""
    live, _ = await pool.write(apikeys.create, "key_1", POLICE)
    test, _ = await pool.write(apikeys.create, "key_2", HOTEL)
    assert (live[:9], test[:9]) == ("lid_live_", "lid_test_")
    assert len(live) == len(test) == 9 + 43
    stored = conn.execute("SELECT api_keys::text FROM api_keys UNION ALL SELECT body::text FROM entries").fetchall()
    assert not any(secret[9:] in row[0] for row in stored for secret in (live, test))


async def test_entries(pool: LedgerPool, conn: Conn) -> None:
    """Creating and revoking are entries that touch no document and that hosts must know of."""
    secret, _ = await pool.write(apikeys.create, "key_1", POLICE)
    await pool.write(apikeys.revoke, "key_1")
    *_, created, revoked = verified_chain(conn)
    assert [(entry.kind, entry.id) for entry in (created, revoked)] == [
        ("key.created", "key_1"),
        ("key.revoked", "key_1"),
    ]
    assert all(is_auth_event(entry.kind) and not entry.effects for entry in (created, revoked))
    assert created.facts["secret_sha256"] == secret_hash(secret).hex()
    assert (created.facts["org"], created.facts["roles"]) == ("police", ["reporter", "checker"])


async def test_revoked(pool: LedgerPool, conn: Conn) -> None:
    """A revoked key stays in the table, known as revoked. Revoking again, also at once, is the same entry."""
    secret, _ = await pool.write(apikeys.create, "key_1", POLICE)
    revoked = await asyncio.gather(*(pool.write(apikeys.revoke, "key_1") for _ in range(4)))
    assert revoked[0] is not None
    assert set(revoked) == {revoked[0]}
    assert await pool.write(apikeys.revoke, "key_9") is None
    table = await pool.read(apikeys.load_all)
    assert table.by_secret[secret_hash(secret)].revoked_seq == revoked[0].seq
    assert len(verified_chain(conn)) == 4


FORGED = """
    INSERT INTO api_keys (id, secret_sha256, env, org, roles, purposes, reasons, created_seq)
    VALUES ('key_9', sha256('forged'), 'live', 'police', '{admin}', '{}', '{}', %(seq)s)
"""


@pytest.mark.parametrize(
    "statements",
    [
        ("UPDATE api_keys SET secret_sha256 = sha256('another') WHERE id = 'key_1'",),
        ("UPDATE api_keys SET roles = roles || '{admin}' WHERE id = 'key_1'",),
        ("UPDATE api_keys SET roles = '{admin}' WHERE id = 'key_1'",),
        ("UPDATE api_keys SET purposes = '{}' WHERE id = 'key_1'",),
        ("UPDATE api_keys SET reasons = '{}' WHERE id = 'key_1'",),
        ("UPDATE api_keys SET rate = NULL WHERE id = 'key_1'",),
        ("UPDATE api_keys SET operator = 'officer-118' WHERE id = 'key_1'",),
        ("UPDATE api_keys SET env = 'test' WHERE id = 'key_1'",),
        ("UPDATE api_keys SET created_seq = created_seq + 1 WHERE id = 'key_1'",),
        ("UPDATE api_keys SET created_seq = 0 WHERE id = 'key_1'",),
        ("UPDATE entries SET body = body || ' ' WHERE seq = %(seq)s",),
        ("UPDATE entries SET body = '\\\\xff' WHERE seq = %(seq)s",),
        ("UPDATE entries SET seq = -1 WHERE seq = %(seq)s", "UPDATE api_keys SET created_seq = -1 WHERE id = 'key_1'"),
    ],
)
@pytest.mark.parametrize("last", [True, False])
async def test_by_hand(pool: LedgerPool, conn: Conn, statements: tuple[LiteralString, ...], last: bool) -> None:
    """A row put in or changed by hand is no key, nor is one whose entry was changed; other keys work as before."""
    _, made = await pool.write(apikeys.create, "key_1", POLICE)
    other = "key_2"
    if not last:
        await pool.write(apikeys.create, other, HOTEL)
    with conn.transaction():
        conn.execute("SET LOCAL session_replication_role = replica")
        conn.execute(FORGED, {"seq": made.seq})
    keys = (await pool.read(apikeys.load_all)).by_secret.values()
    assert {key.id for key in keys} == {"key_1"} | (set() if last else {other})
    with conn.transaction():
        conn.execute("SET LOCAL session_replication_role = replica")
        for statement in statements:
            conn.execute(statement, {"seq": made.seq})
    keys = (await pool.read(apikeys.load_all)).by_secret.values()
    assert {key.id for key in keys} == (set() if last else {other})


async def test_brought_back(pool: LedgerPool, conn: Conn) -> None:
    """A key that an entry has ended stays ended, whatever its row says: alone, with its station, with its operator."""
    for number, person in enumerate(("a", "b", "c", "d")):
        new = replace(POLICE, station=f"station-{number}", operator=person)
        await pool.write(apikeys.create, f"key_{number}", new)
    await pool.write(apikeys.revoke, "key_0")
    await pool.write(people.revoke_station, "police", "station-1")
    await pool.write(people.revoke_operator, "police", "c")
    conn.execute("UPDATE api_keys SET revoked_seq = NULL")
    table = await pool.read(apikeys.load_all)
    ended = {key.id for key in table.by_secret.values() if key.revoked_seq is not None}
    assert (len(table.by_secret), ended) == (4, {"key_0", "key_1", "key_2"})


async def test_contains(pool: LedgerPool) -> None:
    """A table says whether its server has a position: not of another chain, not one that is still to come."""
    _, made = await pool.write(apikeys.create, "key_1", POLICE)
    for position, contains in (
        (Position(made.seq, made.hash), True),
        (Position(made.seq, b"another" + made.hash[7:]), False),
        (Position(made.seq + 1, made.hash), False),
        (None, False),
    ):
        table = await pool.read(apikeys.load_all, position)
        assert (table.contains, len(table.by_secret)) == (contains, 1)


async def test_no_keys(pool: LedgerPool, conn: Conn) -> None:
    """A table without keys still says what its server has."""
    (*_, last) = verified_chain(conn)
    table = await pool.read(apikeys.load_all, Position(last.seq, last.hash))
    assert (table.contains, table.by_secret) == (True, {})
