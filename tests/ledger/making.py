"""Reports, write keys and journal lines for tests, and the look at the whole chain afterwards."""

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable
from hashlib import blake2b

from lostid.domain.covers import Action, Cover, CoverKind, Effect
from lostid.ledger import covers, entries, writes
from lostid.ledger.entries import Draft, Entry
from lostid.ledger.lines import Line
from lostid.ledger.reports import NewReport
from lostid.ledger.statement import Conn
from lostid.ledger.writes import WriteKey

KEY_CHECKS = {"pepper": "01", "outer": "02", "sealing": "03"}
CANARIES = (b"canary-document1", b"canary-document2")

_ids = itertools.count(1)


def doc_key(name: str) -> bytes:
    return blake2b(name.encode(), digest_size=16).digest()


def through(day: int, *, final: bool = False, open_ended: bool = False) -> Cover:
    return Cover(CoverKind.THROUGH, day, None, final, open_ended, "lost", 1_790_000_000_000)


def adding(id_: str, *keys: bytes) -> list[Effect]:
    """The effects of a report; their places are given by the append."""
    return [Effect(key, 0, 0, Action.ADD, id_, through(12_000)) for key in keys]


def report(name: str, *keys: bytes, case_number: str = "A-2026-11-0031", org: str = "police") -> Draft:
    """A report's entry on these document keys (or on one of its own)."""
    told = NewReport(
        id=f"rpt_{name}",
        env="live",
        org=org,
        station="station-7",
        operator="officer-117",
        key_id="key_1",
        type="cn.resident-id",
        case_number=case_number,
        reason="lost",
        effective_ms=1_790_000_000_000,
        covers={"types": ["cn.resident-id"], "valid_from_through": "2015-03-01"},
    )
    on = keys or (doc_key(name),)
    return told.draft(adding(told.id, *on), {key: b"sealed " + key for key in on})


def write_key(name: str = "", request: bytes = b"POST /v1/reports {}", org: str = "police") -> WriteKey:
    return writes.write_key(b"f" * 32, "live", org, name or f"idem-{next(_ids)}", request)


def line(n: int = 0, *, at_ms: int = 0, key: bytes | None = None, operator: str = "desk-3") -> Line:
    return Line(
        at_ms=at_ms,
        id=f"chk_{n}",
        item=n,
        doc_key=key or secrets.token_bytes(16),
        key_id="key_1",
        org="hotel",
        operator=operator,
        purpose="hotel.check_in",
        reference=f"booking-{n}",
        status="clear",
        seq=n,
    )


def verified_chain(conn: Conn) -> list[Entry]:
    """Every entry from genesis on, after seeing that the chain is whole and everything derived from it agrees."""
    chain = entries.read_after(conn, -1, 1_000_000)
    assert [entry.seq for entry in chain] == list(range(len(chain)))
    assert all(entry.intact() for entry in chain)
    assert all(after.prev == before.hash for before, after in itertools.pairwise(chain))
    assert all(after.recorded_ms >= before.recorded_ms for before, after in itertools.pairwise(chain))
    head = entries.head(conn)
    assert (head.seq, head.hash) == (chain[-1].seq, chain[-1].hash)
    told = {(effect.key, effect.seq, effect.ordinal): effect for entry in chain for effect in entry.effects}
    stored = {(e.key, e.seq, e.ordinal): e for e in stored_effects(conn)}
    assert stored == told
    return chain


def stored_effects(conn: Conn) -> list[Effect]:
    rows = conn.execute("SELECT * FROM covers").fetchall()
    return [covers.effect(row) for row in rows]


async def until(true: Callable[[], bool]) -> None:
    """Ten seconds are a failure, not a measurement."""
    give_up = time.monotonic() + 10
    while not true():
        assert time.monotonic() < give_up
        await asyncio.sleep(0.005)
