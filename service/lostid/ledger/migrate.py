"""Bring the schema up to date. Runs at every start, under an advisory lock: two servers may start at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lostid.ledger.statement import Conn


def migrate(conn: Conn) -> None:
    """Apply what is missing, one transaction each. Raises StartRefused("schema_from_the_future")."""
    raise NotImplementedError


def prepare(conn: Conn, secrets: Mapping[str, bytes], canaries: Sequence[bytes]) -> None:
    """Everything a server does to the ledger before it serves: migrate, first boot, then the checks at start.

    `secrets`: name -> bytes of those the ledger is tied to (pepper, outer, sealing). `canaries`: document keys of the
    canary documents; the first boot appends the entry that reports them (seq 1).
    """
    raise NotImplementedError
