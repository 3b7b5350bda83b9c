"""A snapshot in parts: what had come before the line broke is not fetched again.

Asked for what comes after so many bytes of the bits with a SHA-256, the registry signs its line anew and sends only
those bytes, if these are still its bits; otherwise all of others. Nothing here is believed: the whole is verified.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Begun:
    """The first of the bits with this SHA-256 (hex, as the line says)."""

    sha256: str
    bits: bytes = field(repr=False)


def begun_of(content: bytes) -> Begun | None:
    """What can be gone on with of an answer that broke off; None where not even its line came."""
    line, ended, bits = content.partition(b"\n")
    sha256 = _sha256_in(line)
    return Begun(sha256, bits) if ended and bits and sha256 is not None else None


def joined(begun: Begun | None, content: bytes) -> bytes:
    """The answer to the question that went on from `begun`, as if all had come at once."""
    line, ended, bits = content.partition(b"\n")
    if begun is None or not ended or _sha256_in(line) != begun.sha256:
        return content
    return line + ended + begun.bits + bits


def _sha256_in(line: bytes) -> str | None:
    try:
        claims = line.split(b".")[1]
        told = json.loads(base64.urlsafe_b64decode(claims + b"=" * (-len(claims) % 4)))["sha256"]
    except (IndexError, ValueError, KeyError, TypeError):
        return None
    return told if isinstance(told, str) else None
