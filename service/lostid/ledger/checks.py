"""Reasons not to start on a ledger. The decision is a plain function of the facts; one statement fetches them."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

from lostid.ledger.statement import Conn


def check_values(secrets: Mapping[str, bytes]) -> dict[str, str]:
    """What the ledger keeps to recognise its secrets by: keyed, so it says nothing about them."""
    return {name: blake2b(b"lostid.key-check.v1", key=secret, digest_size=16).hexdigest() for name, secret in secrets.items()}


def check_start(conn: Conn, secrets: Mapping[str, bytes], now_ms: int) -> None:
    """Raises StartRefused with one of: fsync_off, synchronous_commit_low, ledger_read_only, lease_terms_differ,
    clock_behind, secrets_differ."""
    raise NotImplementedError
