"""Receipts: what a check was told, or when a report took effect, signed so that it can be shown years later.

A receipt holds a *salted* hash of the document and not the salt, which is handed over beside it: whoever finds a
receipt cannot try numbers against it, whoever holds both and the card can show that the receipt is about this card.
Compact JWS with Ed25519 (`jws`), a `typ` for each kind. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lostid.log.merkle import leaf_hash, root_of_hashes

CHECK_TYP = "lostid-check+jwt"
BATCH_TYP = "lostid-batch+jwt"
REPORT_TYP = "lostid-report+jwt"
SNAPSHOT_TYP = "lostid-mirror-snapshot+jwt"
CHANGES_TYP = "lostid-mirror-changes+jwt"
SALT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Ground:
    """What an answer rests on: the ledger's position that it contains, and the log's last checkpoint (a signed note,
    which may precede the entry: the proof is asked for later). ``origin`` is the log's name."""

    origin: str
    seq: int
    chain_hash: bytes
    checkpoint: str

    @property
    def claims(self) -> dict[str, Any]:
        return {"seq": self.seq, "chain_hash": self.chain_hash.hex(), "checkpoint": self.checkpoint}


def document_hash(salt: bytes, material: tuple[str, str], instance: str) -> str:
    """Hex of SHA-256 over salt, type, number and instance, each behind its length (16 bits big-endian).

    ``material``: type and canonical number. ``instance``: as the caller gave it (``valid_from=2015-03-01``), or empty.
    """
    hashed = hashlib.sha256(b"lostid.receipt.document.v1\x00")
    for part in (salt, material[0].encode(), material[1].encode(), instance.encode()):
        hashed.update(len(part).to_bytes(2, "big") + part)
    return hashed.hexdigest()


def instance_text(fields: dict[str, Any]) -> str:
    """The instance fields that were given, sorted: ``issue_no=1`` or ``valid_from=2015-03-01``."""
    return "&".join(f"{name}={fields[name]}" for name in sorted(fields))


def check_claims(
    ground: Ground,
    *,
    id_: str,
    issued_s: int,
    asker: dict[str, Any],
    document: str,
    told: dict[str, Any],
) -> dict[str, Any]:
    """Claims of a check's receipt. ``asker``: org, key_id, operator, purpose, reference. ``told``: the answer."""
    return {"iss": ground.origin, "jti": id_, "iat": issued_s, **asker, "document": document, **told, **ground.claims}


def batch_root(items: Sequence[tuple[str, str]]) -> str:
    """Hex of the Merkle root (RFC 6962) over a batch's answers, in order: (document hash, status) each.

    A refused item has an empty document hash and the refusal's code as status.
    """
    leaves = [leaf_hash(f"{place}\n{document}\n{status}".encode()) for place, (document, status) in enumerate(items)]
    return root_of_hashes(leaves).hex()


def report_claims(ground: Ground, *, issued_s: int, told: dict[str, Any], reporter: dict[str, Any]) -> dict[str, Any]:
    """Claims of a report's receipt. ``told``: the answer without its receipt. ``reporter``: org, station, ..."""
    return {"iss": ground.origin, "jti": told["id"], "iat": issued_s, **reporter, **told, **ground.claims}
