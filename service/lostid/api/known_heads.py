"""Request heads that the parser has read before. Desks keep their connections and send the same head over and over.

What must hold: the same bytes mean the same request. So a head is looked up only where a message begins, by all of its
bytes; it was learnt from the parser itself, from a request that was the whole of what had come; and a request is
recognised only if nothing but its body follows. Everything else is the parser's."""

from __future__ import annotations

from typing import NamedTuple

from lostid.api.lane import Decide
from lostid.api.raw_head import RawCheck
from lostid.api.steps import Head

_END = b"\r\n\r\n"
_LONGEST = 1_024
_REMEMBERED = 1_024


class Known(NamedTuple):
    """What the parser made of a head."""

    url: bytes
    decide: Decide
    head: Head
    length: int  # of the body
    raw: RawCheck  # the same as a refusal needs it


class KnownHeads:
    """One per worker."""

    def __init__(self) -> None:
        self._known: dict[bytes, Known] = {}

    def of(self, data: bytes) -> Known | None:
        """The head of the request that these bytes are, to their end; None: it takes a parser to tell."""
        end = data.find(_END) + 4
        known = self._known.get(data[:end])
        if known is None or len(data) != end + known.length:
            return None
        return known

    def learn(self, data: bytes, known: Known) -> None:
        """`data`: a request and nothing else. A head that names its request is not sent twice."""
        end = len(data) - known.length
        if end > _LONGEST or data.find(_END) + 4 != end or b"request-id" in known.head:
            return
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[data[:end]] = known
