"""Refusals as they leave the server: RFC 9457 problem documents, made from the one table in `texts.py`.

The refused value is never repeated: a problem carries codes and pointers,
nothing that the caller sent (except a well-formed Request-Id)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lostid.api.texts import TABLE

Header = tuple[bytes, bytes]


class Answer(NamedTuple):
    """What is sent: the same three things whichever protocol class carries them."""

    status: int
    lines: bytes  # its own headers, as they stand on the wire
    body: bytes

    @property
    def headers(self) -> list[Header]:
        """The same as ASGI has them."""
        parted = (line.partition(b": ") for line in self.lines.split(b"\r\n")[:-1])
        return [(name, value) for name, _, value in parted]


def lines_of(headers: Iterable[Header]) -> bytes:
    """Headers as they stand on the wire."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])


# Faults of form in errors[]. Refused numbers and instances bring the domain's own codes.
FORM_CODES = ("field_unknown", "field_missing", "type_wrong", "value_invalid", "contains_document_number")


@dataclass(frozen=True, slots=True)
class Fault:
    """One entry of errors[]."""

    pointer: str
    code: str
    expected: str | None = None

    def as_json(self) -> dict[str, str]:
        found = {"pointer": self.pointer, "code": self.code}
        if self.expected is not None:
            found["expected"] = self.expected
        return found


class Problem(Exception):
    """A refusal on its way to the caller. `extra` adds members to the document, `headers` to the answer."""

    def __init__(
        self,
        code: str,
        errors: Sequence[Fault] = (),
        *,
        extra: Mapping[str, object] | None = None,
        headers: Sequence[Header] = (),
    ) -> None:
        super().__init__(code)
        self.code = code
        self.errors = tuple(errors)
        self.extra = dict(extra or {})
        self.headers = tuple(headers)


def render(problem: Problem, request_id: str, *, zh: bool) -> Answer:
    """The problem as it is sent."""
    text = TABLE[problem.code]
    document: dict[str, object] = {
        "type": f"/problems/{problem.code}",
        "title": text.title_zh if zh else text.title,
        "status": text.status,
        "detail": text.detail_zh if zh else text.detail,
        "code": problem.code,
        "request_id": request_id,
    }
    if problem.errors:
        document["errors"] = [fault.as_json() for fault in problem.errors]
    document.update(problem.extra)
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    headers: list[Header] = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(body)),
        (b"content-language", b"zh" if zh else b"en"),
        (b"vary", b"Accept-Language"),
        (b"cache-control", b"no-store"),
        (b"request-id", request_id.encode("ascii")),
        *problem.headers,
    ]
    if text.status == 401:  # RFC 9110 section 15.5.2: a 401 MUST carry a challenge
        error = b"" if problem.code == "key_missing" else b', error="invalid_token"'
        headers.append((b"www-authenticate", b'Bearer realm="lostid"' + error))
    if text.retry_after is not None and all(name != b"retry-after" for name, _ in problem.headers):
        headers.append((b"retry-after", b"%d" % text.retry_after))
    return Answer(text.status, lines_of(headers), body)


class Canned:
    """A problem that was rendered beforehand, for when there is no time to do it: all but the request's id."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.status = TABLE[code].status
        self._pieces: dict[tuple[int, bool], list[bytes]] = {}

    def of(self, request_id: str, *, zh: bool) -> bytes:
        """Headers and body, as they follow the server's own headers."""
        id_ = request_id.encode("ascii")
        pieces = self._pieces.get((len(id_), zh))
        if pieces is None:
            pieces = self._pieces[len(id_), zh] = _around(self.code, len(id_), zh=zh)
        return id_.join(pieces)


def _around(code: str, length: int, *, zh: bool) -> list[bytes]:
    """What stands before, between and after the ids, of this length, in headers and body."""
    stand_in = "~" * length  # stands in no text of ours
    answer = render(Problem(code), stand_in, zh=zh)
    return (answer.lines + b"\r\n" + answer.body).split(stand_in.encode())


def prefers_chinese(accept_language: bytes) -> bool:
    """Whether Chinese stands before English in an Accept-Language header. Nonsense means English."""
    if not accept_language:
        return False
    best = {"zh": 0.0, "en": 0.0}
    for part in accept_language[:256].decode("latin-1").lower().split(","):
        tag, _, parameter = part.strip().partition(";")
        language = tag.strip().partition("-")[0]
        quality = parameter.strip().removeprefix("q=") if parameter else "1"
        try:
            weight = float(quality)
        except ValueError:
            continue
        if language in best:
            best[language] = max(best[language], weight)
    return best["zh"] > 0.0 and best["zh"] >= best["en"]
