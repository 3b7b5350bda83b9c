"""What a mirror holds and when it may say clear, without I/O: `mirror_flow` brings the messages.

What must hold:

* clear as of T only if every report receipted before T is in the filter: T comes from a statement whose changes have
  been added, all of them, in order, on one chain (seq, hash);
* the age is never understated: it counts on this machine's own clock from before the question was sent, plus the time
  that the registry says it waited before it looked. The nonce in the statement shows that it was made for the question;
* what is not signed by the registry, not whole, of another mirror or from before what is known changes nothing;
* what was made under another key changes nothing: its positions would be missed. All that is signed says under which
  key it was made, and two canary documents are in every snapshot and must be found.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

from lostid_client.errors import LostidError, MirrorRefused, ReceiptRefused
from lostid_client.flow import Clock
from lostid_client.mirror_filter import POSITION_BYTES, Contains, Positions, Sizing, add, contains_in
from lostid_client.models import Document
from lostid_client.receipts import verified
from lostid_client.rules.canonical import canonicalise
from lostid_client.rules.errors import Refusal

SNAPSHOT = "lostid-mirror-snapshot+jwt"
CHANGES = "lostid-mirror-changes+jwt"
MOST_BYTES = 1 << 30
LEAST_MAX_AGE_S = 2.0
CANARIES = (("cn.resident-id", "990000198001010004"), ("cn.passport", "E00000000"))
"""Reported in every registry, for ever, in an environment that no key can reach."""

_SECRET_PREFIX = "lid_mirror_"  # noqa: S105 -- the prefix that tells one, not one
_KEY_BYTES = 32
_CLOCKS_DIFFER = 0.01  # of the registry and of this machine, at the most


class MirrorAnswer(NamedTuple):
    """``clear``: nothing is in force against any card of this number as of ``as_of``. Otherwise: ask the registry.

    ``age_s`` is how long ago that was, on this machine's clock. ``why`` is empty where it is clear, else: record (the
    number may have one), too_old, not_loaded, not_authorised, or the code with which the registry refuses the number.
    """

    clear: bool
    as_of: str | None
    age_s: float
    why: str

    def __str__(self) -> str:
        return f"clear as of {self.as_of}" if self.clear else "ask"


class _Live(NamedTuple):
    """All that an answer rests on, replaced as one: an answer never mixes two moments."""

    contains: Contains
    as_of: str
    proven: float
    today: date


@dataclass(slots=True)
class Copy:
    """One filter, and the entry up to which it is complete."""

    mirror: str
    seq: int
    hash: str
    sizing: Sizing
    bits: bytearray
    capacity: int
    documents: int
    taken: float

    @property
    def full(self) -> bool:
        """More documents than it was made for: still right, but it asks more often than it should."""
        return self.documents > self.capacity


@dataclass(frozen=True, slots=True)
class Statement:
    """A signed answer about what came after an entry."""

    positions: bytes
    seq: int
    hash: str
    more: bool
    as_of: str
    waited_s: float


class MirrorState:
    """What `check` reads. One writer (the flow); any number of readers."""

    def __init__(self, secret: str, max_age_s: float, clock: Clock) -> None:
        if max_age_s < LEAST_MAX_AGE_S:
            raise LostidError(f"max_age_s is at least {LEAST_MAX_AGE_S:g}: for less, ask the registry itself")
        self._positions = Positions(*read_secret(secret))
        self.max_age_s = max_age_s
        self._clock = clock
        self._live: _Live | None = None
        self._absent = "not_loaded"
        self.problem: str | None = None

    def check(self, document: Document) -> MirrorAnswer:
        """See `Mirror.check`."""
        live = self._live  # before the look-up: bits are set before what they prove is said
        if live is None:
            return MirrorAnswer(False, None, float("inf"), self._absent)
        try:
            read = canonicalise(document.type, document.number, document.issuing_state, live.today)
        except Refusal as refusal:
            return MirrorAnswer(False, live.as_of, self._clock() - live.proven, refusal.code)
        found = live.contains(self._positions.of("live", *read.material))
        age = self._clock() - live.proven
        if found:
            return MirrorAnswer(False, live.as_of, age, "record")
        if age > self.max_age_s:
            return MirrorAnswer(False, live.as_of, age, "too_old")
        return MirrorAnswer(True, live.as_of, age, "")

    @property
    def age_s(self) -> float:
        """Seconds since the last moment that is known of; infinite where there is none."""
        live = self._live
        return float("inf") if live is None else self._clock() - live.proven

    @property
    def as_of(self) -> str | None:
        """The last moment that is known of, by the registry's clock."""
        live = self._live
        return None if live is None else live.as_of

    def publish(self, copy: Copy, statement: Statement, sent: float, today: date) -> None:
        """Answer from `copy`, which contains the statement's changes. `sent`: before its question was sent."""
        proven = sent + statement.waited_s * (1 - _CLOCKS_DIFFER)
        self._live = _Live(contains_in(copy.bits, copy.sizing), statement.as_of, proven, today)
        self.problem = None

    def drop(self, why: str) -> None:
        """Answer nothing any more."""
        self._live, self._absent = None, why

    def load(self, content: bytes, jwks: Mapping[str, Any], now: float) -> Copy:
        """A snapshot as the registry sends it: a signed line, then the bits.

        Raises:
            MirrorRefused: see the class.
        """
        line, _, rest = content.partition(b"\n")
        claims = self._claims(line.decode("ascii", "replace"), jwks, SNAPSHOT)
        try:
            sizing = Sizing(int(claims["slices"]), int(claims["bits_per_slice"]))
            copy = Copy(
                str(claims["mirror"]), int(claims["seq"]), str(claims["hash"]), sizing, bytearray(rest),
                int(claims["capacity"]), int(claims["documents"]), now,
            )  # fmt: skip
        except (KeyError, TypeError, ValueError):
            raise MirrorRefused("the snapshot does not describe itself") from None
        if min(sizing.slices, sizing.bits_per_slice) < 1 or sizing.bytes > MOST_BYTES or len(rest) != sizing.bytes:
            raise MirrorRefused("the snapshot is not whole")
        if hashlib.sha256(rest).hexdigest() != claims.get("sha256"):
            raise MirrorRefused("the snapshot's bits were altered")
        contains = contains_in(copy.bits, sizing)
        if not all(contains(self._positions.of("canary", *canary)) for canary in CANARIES):
            raise MirrorRefused("the snapshot lacks what every registry has on record")
        return copy

    def read(self, body: Mapping[str, Any], jwks: Mapping[str, Any], copy: Copy, nonce: str) -> Statement | None:
        """A statement that continues `copy`; None: the registry's chain is another, take a new snapshot.

        Raises:
            MirrorRefused: see the class.
        """
        claims = self._claims(str(body.get("statement", "")), jwks, CHANGES)
        if (claims.get("mirror"), claims.get("nonce"), claims.get("since")) != (copy.mirror, nonce, copy.seq):
            raise MirrorRefused("the statement answers another question")
        try:
            positions = base64.b64decode(str(body.get("positions", "")), validate=True)
            found = Statement(
                positions, int(claims["seq"]), str(claims["hash"]), bool(claims["more"]), str(claims["as_of"]),
                int(claims["waited_ms"]) / 1000.0,
            )  # fmt: skip
        except (KeyError, TypeError, ValueError):
            raise MirrorRefused("the statement is not whole") from None
        if len(positions) % POSITION_BYTES or hashlib.sha256(positions).hexdigest() != claims.get("sha256"):
            raise MirrorRefused("the changes were altered")
        if found.as_of < (self.as_of or ""):
            raise MirrorRefused("the statement is older than the one before")
        if claims.get("origin") != copy.hash:
            return None
        if found.seq < copy.seq:
            raise MirrorRefused("the statement goes back")
        return found

    def _claims(self, token: str, jwks: Mapping[str, Any], kind: str) -> dict[str, Any]:
        try:
            claims = verified(token, jwks, (kind,))
        except ReceiptRefused as refused:
            raise MirrorRefused(f"not signed by the registry: {refused}") from None
        if claims.get("key_check") != self._positions.key_check:
            raise MirrorRefused("the mirror secret is not that of this key, or the registry's keys were changed")
        return claims


def take(copy: Copy, statement: Statement) -> None:
    """Add what has come; all bits are set before the position moves."""
    add(copy.bits, copy.sizing, statement.positions)
    copy.documents += len(statement.positions) // POSITION_BYTES
    copy.seq, copy.hash = statement.seq, statement.hash


def read_secret(secret: str) -> tuple[bytes, bytes]:
    """(mirror key, outer key) of what `lostid keys mirror-secret` printed."""
    text = secret.strip().removeprefix(_SECRET_PREFIX)
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raw = b""
    if len(raw) != 2 * _KEY_BYTES or not secret.strip().startswith(_SECRET_PREFIX):
        raise LostidError("not a mirror secret: `lostid keys mirror-secret ID` prints it")
    return raw[:_KEY_BYTES], raw[_KEY_BYTES:]
