"""The relay's part in imports: bring Redis's head over an entry about a whole import, and its records back.

What may be done when is in ``copying``. Until its records are back the ledger answers for them.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from lostid.domain import staged
from lostid.domain.staged import Flip
from lostid.ledger import covers, import_reading
from lostid.ledger.entries import Entry
from lostid.ledger.statement import Conn
from lostid.registry.buckets import Layout
from lostid.registry.head import Head
from lostid.registry.writer import Line, Writer
from lostid.replication import records

AT_ONCE: Final = 1_000
"""Records in one script: a millisecond or two of the server's time."""
FEW: Final = 20_000


def better_filled(flip: Flip, head: Head) -> bool:
    """Whether filling the registry anew is less work than dropping and bringing back."""
    return flip.rows > max(FEW, head.count)


def bring_over(conn: Conn, writer: Writer, head: Head, entry: Entry, flip: Flip) -> bool:
    """Drop every record that the entry changes, then append it. False: somebody else moved something; look again.

    Raises LedgerFault, with the head where it was, if the rows are not those that the entry names."""
    assert head.position is not None  # noqa: S101  a head that is on the chain has one
    layout, nonce, step = Layout(head.bits), secrets.token_hex(8), 0
    for rows in import_reading.parts(conn, flip):
        for keys in _some(list(dict.fromkeys(staged.keys_of(rows)))):
            if not writer.drop(head.position, layout, nonce, step, keys):
                return False
            step += 1
    if step == 0 and not writer.drop(head.position, layout, nonce, step, []):
        return False
    line = Line(entry.seq, entry.prev, entry.hash, {})
    return writer.flip(line, layout, nonce, max(step, 1), flip.number)


def bring_back(conn: Conn, writer: Writer, head: Head, tag_key: bytes) -> None:
    """The records of the next part of an import, as they are at the head."""
    assert head.position is not None  # noqa: S101  a head that is on the chain has one
    number, after = min(head.bring.items())
    layout = Layout(head.bits)
    found = import_reading.next_part(conn, number, after)
    if found is None:
        writer.bring(head.position, layout, number, None, {})
        return
    for keys in _some(list(dict.fromkeys(staged.keys_of(found.rows)))):
        effects = covers.effects_upto(conn, keys, head.position.seq)
        values = {key: records.value_after(key, effects.get(key, ()), tag_key) for key in keys}
        if not writer.bring(head.position, layout, number, after, _present(values)):
            return
    writer.bring(head.position, layout, number, found.part, {})


def _present(values: Mapping[bytes, bytes | None]) -> dict[bytes, bytes]:
    return {key: value for key, value in values.items() if value is not None}


def _some(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    return (keys[at : at + AT_ONCE] for at in range(0, len(keys), AT_ONCE))
