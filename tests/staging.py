"""Imports written straight into a ledger, for tests of those who follow it."""

import itertools
from collections.abc import Iterable, Sequence

from lostid.domain import staged
from lostid.domain.covers import Action, Cover, CoverKind, Effect
from lostid.domain.staged import Flip
from lostid.ledger import entries
from lostid.ledger.entries import RELEASED, RESTORED, WITHDRAWN, Appended, Draft
from lostid.ledger.import_parts import COPY, Part, copied
from lostid.ledger.statement import Conn

_ids = itertools.count(1)


def covering(day: int, *, open_ended: bool = False) -> Cover:
    return Cover(CoverKind.THROUGH, day, None, final=False, open_ended=open_ended, reason="lost", effective_at_ms=1)


def rows(keys: Iterable[bytes], cover: Cover, first_line: int = 2) -> bytes:
    """One line for each document key."""
    effects = (Effect(key, 0, 0, Action.ADD, "", cover) for key in keys)
    return b"".join(staged.packed(effect, first_line + place, 0) for place, effect in enumerate(effects))


def stage(conn: Conn, parts: Sequence[bytes], sealed: bytes = b"") -> Flip:
    """An import that is received and waits for its release. `sealed`: in each of its parts."""
    made = [Part(place, 10, 1, b"", content, sealed, "") for place, content in enumerate(parts)]
    digest, count = staged.digest(part.digest for part in made), sum(map(len, parts)) // staged.ROW_BYTES
    with conn.transaction():
        (number,) = conn.execute(
            """
            INSERT INTO imports (id, seq, env, org, station, operator, key_id, source, dry_run, state, created_ms,
                                 accepted, staged, digest)
            VALUES (%s, 0, 'live', 'o', 's', 'p', 'k', %s, false, 'received', 0, %s, %s, %s) RETURNING number
            """,
            [f"imp_{next(_ids)}", "test", count, count, digest],
        ).fetchone() or (0,)
        for part in made:
            conn.execute(
                "INSERT INTO import_parts VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
                [number, *part[:5], part.digest, *part[5:]],
            )
            with conn.cursor() as cursor, cursor.copy(COPY) as copy:
                copy.write(copied(number, part.rows))
    return Flip(number, count, digest)


def release(conn: Conn, flip: Flip) -> Appended:
    with conn.transaction():
        appended = _appended(conn, flip, RELEASED)
        moved = "UPDATE imports SET state = 'released', release_seq = %s WHERE number = %s"
        conn.execute(moved, [appended.seq, flip.number])
    return appended


def withdraw(conn: Conn, flip: Flip) -> Appended:
    return _turned(conn, flip, WITHDRAWN, Action.WITHDRAW, "withdrawn")


def restore(conn: Conn, flip: Flip) -> Appended:
    """As a rewind does."""
    return _turned(conn, flip, RESTORED, Action.QUARANTINE, "released")


def alter(conn: Conn, flip: Flip) -> None:
    """Somebody changes a row of it by hand, who may switch triggers off."""
    with conn.transaction():
        conn.execute("SET LOCAL session_replication_role = replica")
        conn.execute(
            "UPDATE import_parts SET rows = set_byte(rows, 30, get_byte(rows, 30) # 1) WHERE import = %s", [flip.number]
        )


def _turned(conn: Conn, flip: Flip, kind: str, action: Action, state: str) -> Appended:
    with conn.transaction():
        appended = _appended(conn, flip, kind)
        conn.execute("UPDATE imports SET state = %s WHERE number = %s", [state, flip.number])
        conn.execute("INSERT INTO import_turns VALUES (%s, %s, %s)", [flip.number, appended.seq, action.value])
    return appended


def _appended(conn: Conn, flip: Flip, kind: str) -> Appended:
    facts = {"number": flip.number, "staged": flip.rows, "digest": flip.digest.hex()}
    (id_,) = conn.execute("SELECT id FROM imports WHERE number = %s", [flip.number]).fetchone() or ("",)
    return entries.APPEND.run(conn, entries.append_params(Draft(kind, str(id_), facts)))
