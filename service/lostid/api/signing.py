"""Receipts as a worker makes them: the signing key, the log's last checkpoint, and the answers that carry the two.

While an alarm of the log is open, or nobody knows whether one is, nothing is signed: a check that asked for a receipt
is then no answer (503), and a report goes without one, because police are never held up by it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import UNSET

from lostid.api import wire
from lostid.api.problems import Problem
from lostid.api.telling import Ask, Proof
from lostid.domain.canonical import Canonical
from lostid.ledger.apikeys import ApiKey
from lostid.ledger.tree import Tip
from lostid.log import jws, receipts
from lostid.log.receipts import Ground

STALE_S = 10.0
_INSTANCE = ("valid_from", "valid_until", "issue_no", "card_serial")


class Signer:
    """One per worker. `load` reads the log's tip from the ledger."""

    def __init__(self, seed: Callable[[], bytes], origin: str, load: Callable[[], Awaitable[Tip]]) -> None:
        self._seed = seed
        self._private = Ed25519PrivateKey.from_private_bytes(seed())
        self._origin = origin
        self._load = load
        self._tip: Tip | None = None
        self._seen = 0.0

    async def refresh(self) -> None:
        """Take up the signing key as it is now, and read the tip anew. Raises whatever `load` raises; the old tip is
        then used until it is too old."""
        self._private = Ed25519PrivateKey.from_private_bytes(self._seed())
        began = time.monotonic()
        self._tip = await self._load()
        self._seen = began

    @property
    def public(self) -> bytes:
        """The key that signs now."""
        return self._private.public_key().public_bytes_raw()

    def ready(self) -> bool:
        """Whether receipts are signed now."""
        tip = self._tip
        return tip is not None and tip.size > 0 and tip.alarms == 0 and time.monotonic() - self._seen < STALE_S

    def check(self, ask: Ask, asked: wire.Check, id_: str, document: Canonical, status: str) -> Proof:
        """The receipt of one answer. Raises Problem where nothing is signed."""
        salt = os.urandom(receipts.SALT_BYTES)
        reference = {} if asked.reference is UNSET else {"reference": asked.reference}
        claims = receipts.check_claims(
            self._ground(ask),
            id_=id_,
            issued_s=ask.as_of_ms // 1000,
            asker={**_asker(ask), **reference},
            document=_hash(salt, document, asked.document),
            told={"status": status, "as_of": _instant(ask.as_of_ms)},
        )
        return Proof(jws.sign(claims, receipts.CHECK_TYP, self._private), salt)

    def batch(
        self, ask: Ask, asked: wire.Batch, id_: str, documents: Sequence[Canonical | None], told: Sequence[str]
    ) -> Proof:
        """One receipt for all answers of a batch, over their Merkle root. Raises Problem where nothing is signed."""
        salt = os.urandom(receipts.SALT_BYTES)
        items = [
            ("" if document is None else _hash(salt, document, item.document), status)
            for document, item, status in zip(documents, asked.checks, told, strict=True)
        ]
        claims = receipts.check_claims(
            self._ground(ask),
            id_=id_,
            issued_s=ask.as_of_ms // 1000,
            asker=_asker(ask),
            document=receipts.batch_root(items),
            told={"count": len(items), "as_of": _instant(ask.as_of_ms)},
        )
        return Proof(jws.sign(claims, receipts.BATCH_TYP, self._private), salt)

    def report(
        self, key: ApiKey, told: Mapping[str, Any], chain_hash: bytes, case_number: str, reason: str
    ) -> str | None:
        """The receipt of a report that is in force; None where nothing is signed."""
        tip = self._tip
        if tip is None or not self.ready():
            return None
        ground = Ground(self._origin, told["seq"], chain_hash, tip.note)
        reporter = {
            "org": key.org,
            "station": key.station,
            "operator": key.operator,
            "key_id": key.id,
            "case_number": case_number,
            "reason": reason,
        }
        claims = receipts.report_claims(ground, issued_s=int(time.time()), told=dict(told), reporter=reporter)
        return jws.sign(claims, receipts.REPORT_TYP, self._private)

    def mirror(self, claims: Mapping[str, Any], typ: str) -> str:
        """What a mirror may go by. Raises Problem where nothing is signed: mirrors then grow old, and ask."""
        if not self.ready():
            raise Problem("freshness_unproven")
        return jws.sign({"iss": self._origin, "iat": int(time.time()), **claims}, typ, self._private)

    def _ground(self, ask: Ask) -> Ground:
        tip = self._tip
        if tip is None or ask.at is None or not self.ready():
            raise Problem("freshness_unproven")
        return Ground(self._origin, ask.at.seq, ask.at.hash, tip.note)


def _asker(ask: Ask) -> dict[str, Any]:
    return {"org": ask.key.org, "key_id": ask.key.id, "operator": ask.operator, "purpose": ask.purpose}


def _hash(salt: bytes, document: Canonical, asked: wire.Document) -> str:
    fields = {name: getattr(asked, name) for name in _INSTANCE if getattr(asked, name) is not UNSET}
    return receipts.document_hash(salt, document.material, receipts.instance_text(fields))


def _instant(ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1000)) + f".{ms % 1000:03d}Z"
