"""Reasons not to start on a ledger. One statement fetches the facts; the decision is a plain function of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lostid.ledger.errors import StartRefused
from lostid.ledger.statement import Conn, Statement

L_R_MS = 1000
L_W_MS = 1500
CLOCK_BEHIND_MS = 60_000


@dataclass(frozen=True, slots=True)
class Server:
    fsync: str
    synchronous_commit: str  # what a session gets that asks for nothing


@dataclass(frozen=True, slots=True)
class Facts:
    l_r_ms: int
    l_w_ms: int
    key_checks: Mapping[str, str] | None
    recorded_ms: int  # of the last entry
    ledger_now_ms: int


_SERVER = Statement(
    "SELECT current_setting('fsync'), (SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit')",
    lambda rows: Server(*rows[0]),
)
_FACTS = Statement(
    """
    SELECT l_r_ms, l_w_ms, key_checks, recorded_ms, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint
      FROM lease, meta, head
    """,
    lambda rows: Facts(*rows[0]),
)


def check_server(conn: Conn) -> None:
    """Before anything is written. Raises StartRefused: fsync_off, synchronous_commit_low."""
    judge_server(_SERVER.run(conn))


def check_ledger(conn: Conn, key_checks: Mapping[str, str], now_ms: int) -> None:
    """Once the schema is there. Raises StartRefused: secrets_differ, lease_terms_differ, clock_behind."""
    judge_ledger(_FACTS.run(conn), key_checks, now_ms)


def judge_server(server: Server) -> None:
    if server.fsync != "on":
        raise StartRefused(
            "fsync_off", "PostgreSQL runs with fsync off: a power cut would lose receipts; set fsync = on"
        )
    if server.synchronous_commit not in ("on", "remote_apply"):
        raise StartRefused(
            "synchronous_commit_low",
            f"PostgreSQL runs with synchronous_commit = {server.synchronous_commit}: "
            "receipts could be lost; set it to on",
        )


def judge_ledger(facts: Facts, key_checks: Mapping[str, str], now_ms: int) -> None:
    differing = sorted(name for name, value in (facts.key_checks or {}).items() if key_checks.get(name) != value)
    if differing or not facts.key_checks:
        raise StartRefused(
            "secrets_differ",
            f"the ledger was made with other secrets ({', '.join(differing) or 'unknown'}): "
            "point LOSTID_SECRETS_DIR at those it was made with",
        )
    if (facts.l_r_ms, facts.l_w_ms) != (L_R_MS, L_W_MS):
        raise StartRefused(
            "lease_terms_differ",
            f"the ledger's leases are {facts.l_r_ms}/{facts.l_w_ms} ms, this program's {L_R_MS}/{L_W_MS} ms: "
            "run the same version everywhere",
        )
    for whose, clock_ms in (("this host's", now_ms), ("the ledger's", facts.ledger_now_ms)):
        behind = facts.recorded_ms - clock_ms
        if behind > CLOCK_BEHIND_MS:
            raise StartRefused(
                "clock_behind", f"{whose} clock is {behind // 1000} s behind the last entry: set it right"
            )
