"""A part of an import's file as it is put together, line by line, or compared with what is known of it. No I/O."""

from __future__ import annotations

from typing import NamedTuple

from lostid.api.import_lines import BadLine, Parse
from lostid.api.import_rows import Stager
from lostid.domain.staged import PART_LINES
from lostid.ledger.import_parts import LINE_DIFFERS, NO_PRINT, Part, Rejection, cut, joined


class Made(NamedTuple):
    """What became of a part of the file in this sending."""

    part: Part
    rejections: list[Rejection]
    """Those that are new."""
    rejected: int
    """In all, as of this part."""
    changed: bool


class PartMaker:
    """Puts a part of the file together, line by line; or compares it with what is known of it."""

    def __init__(self, stager: Stager, parse: Parse, place: int, known: Part | None, rejected: int) -> None:
        """`rejected`: how many of the known lines were."""
        self._stager, self._parse, self._place = stager, parse, place
        self._known, self._were_rejected = known, rejected
        self._lines_known = 0 if known is None else known.lines
        self._differing: list[int] = []
        self._accepted = 0
        self._prints: list[bytes] = []
        self._rows: list[bytes] = []
        self._sealed: list[bytes] = []
        self._cases: list[str] = []
        self._rejections: list[Rejection] = []

    def take(self, line: int, raw: bytes) -> None:
        print_ = self._stager.print_of(raw)
        place = (line - 1) % PART_LINES
        if place < self._lines_known:
            if self._known is not None and self._known.print_of(place) != print_:
                self._differing.append(line)
            return
        self._prints.append(print_)
        if print_ is NO_PRINT:
            return
        try:
            rows, sealed, case = self._stager.read(self._parse, raw, line)
        except BadLine as bad:
            self._rejections.append(Rejection(line, bad.code, bad.field))
            return
        self._accepted += 1
        self._rows.append(rows)
        self._sealed.append(sealed)
        self._cases.append(case)

    def made(self) -> Made:
        """A line that came before is the same line, or nobody knows what it should be: then it counts for nothing."""
        rows, sealed, prints = b"".join(self._rows), b"".join(self._sealed), b"".join(self._prints)
        fresh = Part(self._place, len(self._prints), self._accepted, prints, rows, sealed, "\n".join(self._cases))
        if self._known is None:
            return Made(fresh, self._rejections, len(self._rejections), changed=True)
        kept = cut(self._known, set(self._differing)) if self._differing else self._known
        rejected = self._were_rejected + self._known.accepted - kept.accepted + len(self._rejections)
        rejections = [*(Rejection(line, LINE_DIFFERS, None) for line in self._differing), *self._rejections]
        return Made(joined(kept, fresh), rejections, rejected, changed=bool(self._differing or fresh.lines))
