"""What a refusal needs to know of a check, without the parser: half of what a refusal costs.

What must hold: only a request that is the whole of what came, beyond any doubt, is taken for one; everything else is
the parser's. A request that a proxy might frame in another way than we do can so never hide a second one."""

from __future__ import annotations

from typing import NamedTuple

_STARTS = (b"POST /v1/checks HTTP/1.1\r\n", b"POST /v1/checks/batch HTTP/1.1\r\n")
_LONGEST = 4_096
_LENGTH = b"\r\ncontent-length:"


class RawCheck(NamedTuple):
    authorization: bytes | None
    request_id: bytes | None
    accept_language: bytes
    batch: bool
    size: int  # of the body


def whole_check(data: bytes) -> RawCheck | None:
    """The one request for a check that these bytes are; None: they are something else, or it takes a parser to tell."""
    if not data.startswith(_STARTS):
        return None
    end = data.find(b"\r\n\r\n", 0, _LONGEST)
    if end < 0:
        return None
    head = data[: end + 2]
    lower = head.lower()
    if (
        lower.count(b"content-length") != 1
        or lower.count(b"authorization") > 1
        or b"transfer-encoding" in lower
        or _closes(lower)
        or b"expect" in lower
        or b"upgrade" in lower
        or lower.count(b"\n") != lower.count(b"\r\n")
    ):
        return None
    size = _value(head, lower, _LENGTH)
    if size is None or not size.isdigit() or len(size) > 6 or len(data) != end + 4 + int(size):
        return None
    language = _value(head, lower, b"\r\naccept-language:")
    return RawCheck(
        _value(head, lower, b"\r\nauthorization:"),
        _value(head, lower, b"\r\nrequest-id:"),
        b"" if language is None else language,
        data.startswith(_STARTS[1]),
        int(size),
    )


def _closes(lower: bytes) -> bool:
    """Whether the connection may have to end with the answer: `close` may stand anywhere in a list, or in a second."""
    at = lower.find(b"\r\nconnection:")
    return at >= 0 and (b"close" in lower[at : lower.find(b"\r\n", at + 2)] or lower.count(b"\r\nconnection:") > 1)


def _value(head: bytes, lower: bytes, name: bytes) -> bytes | None:
    at = lower.find(name)
    if at < 0:
        return None
    at += len(name)
    return head[at : lower.find(b"\r\n", at)].strip(b" \t")
