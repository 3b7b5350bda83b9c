"""Stations and operators. They exist as far as API keys name them: to end one is to end its keys, all with one entry.

The entries (`station.revoked`, `operator.revoked`, `operator.moved`) name the keys that they ended, and every host
learns of them through the fence (the page's auth_seq), as of a single key's end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lostid.ledger import entries
from lostid.ledger.entries import Appended, Draft
from lostid.ledger.statement import AsyncConn, Statement, committing, nothing


@dataclass(frozen=True, slots=True)
class Station:
    org: str
    station: str
    operators: Sequence[str]  # with a key that works
    keys: int  # that work
    ended: int


@dataclass(frozen=True, slots=True)
class Operator:
    org: str
    operator: str
    stations: Sequence[str]  # with a key that works
    keys: int
    ended: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The keys that an entry ended. No entry: there was none left to end."""

    appended: Appended | None
    keys: Sequence[str]


STATIONS = Statement(
    """
    SELECT org, station, coalesce(array_agg(DISTINCT operator) FILTER (WHERE revoked_seq IS NULL), '{}'),
           count(*) FILTER (WHERE revoked_seq IS NULL), count(revoked_seq)
      FROM api_keys WHERE station IS NOT NULL GROUP BY org, station ORDER BY org, station
    """,
    lambda rows: [Station(*row) for row in rows],
)

OPERATORS = Statement(
    """
    SELECT org, operator, coalesce(array_agg(DISTINCT station) FILTER (WHERE revoked_seq IS NULL), '{}'),
           count(*) FILTER (WHERE revoked_seq IS NULL), count(revoked_seq)
      FROM api_keys WHERE operator IS NOT NULL GROUP BY org, operator ORDER BY org, operator
    """,
    lambda rows: [Operator(*row) for row in rows],
)

# Of both environments. `stays` is where an operator who moves goes to: the keys of that station remain.
_KEYS = Statement(
    """
    SELECT id, revoked_seq IS NULL AND station IS DISTINCT FROM %(stays)s::text
      FROM api_keys
     WHERE org = %(org)s AND (station = %(station)s::text OR operator = %(operator)s::text)
     ORDER BY id
    """,
    lambda rows: [(str(id_), bool(ends)) for id_, ends in rows],
)

_END = Statement("UPDATE api_keys SET revoked_seq = %(seq)s WHERE id = ANY (%(ids)s)", nothing, writes=True)


async def revoke_station(conn: AsyncConn, org: str, station: str) -> Ended | None:
    """End every key of a station. None: no key ever named it."""
    return await _end(conn, "station.revoked", {"org": org, "station": station}, station=station)


async def revoke_operator(conn: AsyncConn, org: str, operator: str) -> Ended | None:
    """End every key of an operator."""
    return await _end(conn, "operator.revoked", {"org": org, "operator": operator}, operator=operator)


async def move_operator(conn: AsyncConn, org: str, operator: str, to: str) -> Ended | None:
    """End the operator's keys of every other station. Keys of the new one are made as any others are."""
    facts = {"org": org, "operator": operator, "to": to}
    return await _end(conn, "operator.moved", facts, operator=operator, stays=to)


async def _end(
    conn: AsyncConn,
    kind: str,
    facts: dict[str, Any],
    *,
    station: str | None = None,
    operator: str | None = None,
    stays: str | None = None,
) -> Ended | None:
    async with committing(conn):
        await entries.hold(conn)  # a key that is being made is made before this, and seen, or after it
        found = await _KEYS.arun(conn, {"org": facts["org"], "station": station, "operator": operator, "stays": stays})
        if not found:
            return None
        ids = [id_ for id_, ends in found if ends]
        if not ids:
            return Ended(None, ())
        draft = Draft(kind, f"{facts['org']}/{station or operator}", {**facts, "keys": ids})
        appended = await entries.append(conn, draft)
        await _END.arun(conn, {"seq": appended.seq, "ids": ids})
        return Ended(appended, ids)
