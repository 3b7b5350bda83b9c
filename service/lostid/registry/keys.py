"""Names of what is stored in Redis. One hash tag, so that all of it lies in one slot of one server."""

from typing import Final

PREFIX: Final = b"{lostid}"
HEAD: Final = PREFIX + b"head"
"""Hash. Always: `format`, `bits`, `count`. In service: `seq`, `hash`. Being filled: `fill` (the filler's nonce),
`step`, `done`, `total`. `repaired` counts records that were found other than the ledger says. While a relay brings the
registry over an entry about a whole import: `drop` (its nonce, and how many steps it has taken). Afterwards
`bring:<number>`: up to which part the records of that import are back; `away`: of how many imports they are not yet."""
CHAIN: Final = PREFIX + b"chain"
"""Hash: seq -> chain hash of the last CHAIN_KEPT entries."""
DOUBT: Final = PREFIX + b"doubt"
"""Set of document keys whose record a reader could not believe; the relay compares them with the ledger."""
BUCKET: Final = PREFIX + b"b"
"""Hashes: the bucket's index in 3 bytes follows. Field: a part of the document key. Value: the packed record."""

CHAIN_KEPT: Final = 100_000
FORMAT: Final = 1
"""Of this layout. A registry of another format is wiped and filled anew."""
