"""Withdrawals in the ledger: the chain stays whole, the state told is the one decided on, caps count to the day."""

from dataclasses import replace

import pytest

from lostid.domain.covers import Action
from lostid.domain.record import fold
from lostid.domain.withdrawal import Actor, Caps, Denied, Event
from lostid.ledger import apikeys, covers, withdrawals, writes
from lostid.ledger.apikeys import NewKey
from lostid.ledger.pool import LedgerPool
from lostid.ledger.statement import Conn
from lostid.ledger.withdrawing import Ask, AskRewind, Attempt, Decide, ask, ask_rewind, decide
from lostid.ledger.writes import Outcome, Recorded
from tests.ledger.making import doc_key, report, verified_chain, write_key

WDR = "wdr_1"


async def somebody(pool: LedgerPool, name: str, *roles: str) -> Actor:
    new = NewKey("live", "police", roles, f"station-of-{name}", name)
    await pool.write(apikeys.create, f"key_{name}", new)
    return Actor(f"key_{name}", "live", "police", f"station-of-{name}", name, frozenset(roles))


@pytest.fixture
async def officer(pool: LedgerPool) -> Actor:
    assert isinstance(await pool.write(writes.record, write_key(), report("1", doc_key("a"), doc_key("b"))), Recorded)
    return await somebody(pool, "ann", "reporter")


async def asked(pool: LedgerPool, actor: Actor, id_: str = WDR) -> Outcome | Denied:
    new = Ask(Attempt(actor, "request", report_id="rpt_1"), id_, "entry_error", "typed wrong")
    return await pool.write(ask, write_key(), new, Caps())


async def approved(pool: LedgerPool, actor: Actor, id_: str = WDR) -> str:
    attempt = Attempt(actor, "approve", withdrawal_id=id_)
    found = await pool.write(decide, write_key(), Decide(attempt, Event.APPROVE))
    return found.code if isinstance(found, Denied) else type(found).__name__


async def in_force(pool: LedgerPool) -> list[bool]:
    keys = [doc_key("a"), doc_key("b")]
    effects = await pool.read(covers.effects_of, keys)
    return [bool(fold(effects[key])) for key in keys]


async def test_whole_story(pool: LedgerPool, conn: Conn, officer: Actor) -> None:
    """Asked, tried by the wrong one, approved, rewound: every step is an entry, and what is in force follows."""
    ben, cleo, dan = [await somebody(pool, name, "supervisor") for name in ("ben", "cleo", "dan")]
    assert isinstance(await asked(pool, officer), Recorded)
    assert await approved(pool, officer) == "role_missing"
    assert await in_force(pool) == [True, True]
    assert await approved(pool, ben) == "Recorded"
    assert await in_force(pool) == [False, False]
    assert await approved(pool, cleo) == "withdrawal_not_pending"
    rewind = AskRewind(Attempt(cleo, "rewind"), "wdr_2", "ben", 0, "sold it")
    assert isinstance(await pool.write(ask_rewind, write_key(), rewind), Recorded)
    assert await approved(pool, dan, "wdr_2") == "Recorded"
    assert await in_force(pool) == [True, True]
    chain = verified_chain(conn)
    kinds = [entry.kind for entry in chain if entry.kind.partition(".")[0] in ("withdrawal", "rewind")]
    attempt = "withdrawal.attempt"
    assert kinds == [
        "withdrawal.requested", attempt, "withdrawal.approved", attempt, "rewind.requested", "rewind.approved"
    ]  # fmt: skip
    assert {effect.action for effect in chain[-1].effects} == {Action.QUARANTINE}


@pytest.mark.parametrize("fate", ["expired", "overtaken", "withdrawn elsewhere"])
async def test_state(pool: LedgerPool, conn: Conn, officer: Actor, fate: str) -> None:
    """What is shown before anybody tries is what whoever tries is told, and what is stored then."""
    ben = await somebody(pool, "ben", "approver")
    await asked(pool, officer)
    if fate == "expired":
        conn.execute("UPDATE withdrawals SET expires_ms = asked_ms")
    elif fate == "overtaken":
        await pool.write(writes.record, write_key(), report("2", doc_key("b")))
    else:
        await asked(pool, officer, "wdr_2")
        assert await approved(pool, ben, "wdr_2") == "Recorded"
    state = "expired" if fate == "expired" else "overtaken"
    before = await pool.read(withdrawals.get, WDR)
    assert before is not None
    assert (before.state, before.stored) == (state, "awaiting_approval")
    assert await approved(pool, ben) == f"withdrawal_{state}"
    after = await pool.read(withdrawals.get, WDR)
    assert after is not None
    assert (after.state, after.stored) == (state, state)
    assert await approved(pool, ben) == f"withdrawal_{state}"


async def test_caps(pool: LedgerPool, conn: Conn, officer: Actor) -> None:
    """Five in 24 hours, twenty in 30 days, each counted until it is that old; other operators have their own."""
    for place in range(5):
        assert isinstance(await asked(pool, officer, f"wdr_0{place}"), Recorded)
    assert isinstance(await asked(pool, officer), Denied)
    for days in (1, 2, 3):
        conn.execute("UPDATE withdrawals SET asked_ms = asked_ms - 86400000")
        for place in range(5):
            assert isinstance(await asked(pool, officer, f"wdr_{days}{place}"), Recorded)
    conn.execute("UPDATE withdrawals SET asked_ms = asked_ms - 86400000")
    assert isinstance(await asked(pool, officer), Denied)
    other = await somebody(pool, "ben", "reporter")
    assert isinstance(await asked(pool, other, "wdr_other"), Recorded)
    conn.execute("UPDATE withdrawals SET asked_ms = asked_ms - 27 * 86400000::bigint")
    assert isinstance(await asked(pool, officer), Recorded)


async def test_after_its_end(pool: LedgerPool, conn: Conn, officer: Actor) -> None:
    """A key that was ended while its request was on the way does nothing any more."""
    ben = await somebody(pool, "ben", "approver")
    await asked(pool, officer)
    await pool.write(apikeys.revoke, ben.key_id)
    assert await approved(pool, ben) == "key_revoked"
    assert await approved(pool, replace(ben, key_id="key_none")) == "key_revoked"
    assert await in_force(pool) == [True, True]
    verified_chain(conn)
