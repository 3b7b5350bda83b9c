"""Identifiers: the ones that are made here, and the forms that the callers' own must have."""

from __future__ import annotations

import os
import re

from lostid.domain.gb11643 import check_character

REFERENCE = re.compile(r"[A-Za-z0-9._:/-]{1,64}", re.ASCII)
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
REQUEST_ID = re.compile(rb"[A-Za-z0-9_-]{8,64}")
IDEMPOTENCY_KEY = re.compile(rb"[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?")
REPORT_ID = re.compile(r"rpt_[0-9a-f]{32}")
IMPORT_ID = re.compile(r"imp_[0-9a-f]{32}")
WITHDRAWAL_ID = re.compile(r"wdr_[0-9a-f]{32}")

_BLOCK = 4_000  # random bytes drawn at once: one system call for 400 ids


class Ids:
    """Makes ids: a prefix, 48 bits of time where they shall sort, 80 bits of chance."""

    def __init__(self) -> None:
        self._block = ""
        self._at = 0

    def _chance(self) -> str:
        at = self._at
        if at == len(self._block):
            self._block = os.urandom(_BLOCK).hex()
            at = 0
        self._at = at + 20
        return self._block[at : at + 20]

    def check(self) -> str:
        """Of a check: nobody sorts them."""
        return "chk_" + self._chance()

    def requests(self, count: int) -> list[str]:
        """So many ids for requests that brought none."""
        chance = os.urandom(10 * count).hex()
        return ["req_" + chance[at : at + 20] for at in range(0, 20 * count, 20)]

    def new(self, prefix: str, now_ms: int) -> str:
        return f"{prefix}{now_ms:012x}{self._chance()}"

    def of_request(self, sent: bytes | None) -> tuple[str, bool]:
        """The id of a request, its own or one made here; and whether its own was a document number (never echoed)."""
        sent = None if sent is None else sent.strip(b" \t")  # RFC 9110 section 5.5; the parser leaves what follows it
        if sent is None or REQUEST_ID.fullmatch(sent) is None:
            return "req_" + self._chance(), False
        name = sent.decode("ascii")
        if len(name) >= 18 and reads_as_number(name):
            return "req_" + self._chance(), True
        return name, False


_BETWEEN = re.compile(r"[^0-9A-Za-z]+")
_NUMBER = re.compile(
    r"(?=([1-9][0-9]{5}(?:18|19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{3}[0-9X]))", re.ASCII
)


def reads_as_number(value: str) -> bool:
    """Whether a person would read an 18-character document number in the value.

    Whatever separates is dropped, letters are folded, and every place is tried: a number inside a longer run is a
    number still. It has to be one throughout (area, birth date, check digit): the check digit alone would refuse one
    booking number in eleven."""
    if len(value) < 18:
        return False
    run = _BETWEEN.sub("", value).upper()
    return any(check_character(number[:17]) == number[17] for number in _NUMBER.findall(run))
