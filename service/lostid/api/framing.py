"""Which request heads are no HTTP/1.1 that one reader and the next must understand alike. The parser refuses the rest:
two lengths, a length beside chunks, bare line ends, spaces before a colon.

What must hold: where this server and whatever stands before it could see two different requests, nobody is served."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from lostid.api.problems import Header

HEAD_LIMIT = 16 * 1024

# RFC 9112 section 3.2 for Host, RFC 9110 section 5.3 for the others: no sender may repeat them, and of two values each
# reader picks its own.
_ONCE = frozenset(
    (
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"expect",
        b"host",
        b"idempotency-key",
        b"request-id",
        b"transfer-encoding",
    )
)
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::[0-9]*)?")
_UNRESERVED = re.compile(rb"%(2[DdEe]|3[0-9]|[46][1-9A-Fa-f]|5[0-9AaFf]|7[0-9AaEe])")


def is_large(url: bytes, headers: Sequence[Header]) -> bool:
    """Whether the head takes more than a head may."""
    return len(url) + sum([len(name) + len(value) + 4 for name, value in headers]) > HEAD_LIMIT


def is_addressed(version: str, headers: Sequence[Header], head: Mapping[bytes, bytes]) -> bool:
    """Whether the request names its host as it must, and nothing twice that may be there once."""
    if len(head) != len(headers):
        counted = Counter(name for name, _ in headers)
        if any(counted[name] > 1 for name in _ONCE):
            return False
    host = head.get(b"host")
    if host is None:
        return version == "1.0"
    return _HOST.fullmatch(host) is not None


def is_framed(method: bytes, version: str, url: bytes, head: Mapping[bytes, bytes]) -> bool:
    """Whether version, target and body are of a kind that is served here."""
    if version not in ("1.0", "1.1") or method == b"CONNECT":
        return False
    if b"#" in url:  # RFC 9112 section 3.2: no form of a target has a fragment
        return False
    # RFC 9112 section 6.1: codings beside chunked are for who can undo them, and none is for HTTP/1.0.
    coding = head.get(b"transfer-encoding")
    return coding is None or (version == "1.1" and coding.lower() == b"chunked")


def path_of(raw: bytes) -> str:
    """The path of a target. RFC 3986 section 2.3: an encoded letter, digit or -._~ is the same as the plain one, and
    nothing else is: an encoded slash is no slash. Raises ValueError."""
    return _UNRESERVED.sub(lambda found: bytes.fromhex(found[1].decode()), raw).decode("ascii")
