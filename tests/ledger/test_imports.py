"""The rows of imports in PostgreSQL: effects of the entries that flip them; altered ones are found, unused ones go."""

import itertools
import random
import secrets

import pytest

from lostid.domain import staged
from lostid.domain.covers import Action, Cover, CoverKind, Effect
from lostid.domain.reasons import REASONS
from lostid.domain.record import fold
from lostid.domain.staged import REASON_CODES
from lostid.ledger import covers, doc_keys, entries, snapshot, tokens, tree
from lostid.ledger.import_clearing import clear
from lostid.ledger.import_reading import parts
from lostid.ledger.pool import LedgerPool
from lostid.ledger.statement import Conn
from lostid.log import import_rows
from lostid.log.reading_again import decoded, turn_faults
from tests.ledger.making import doc_key, report
from tests.staging import alter, covering, release, restore, rows, stage, withdraw


def every_cover() -> list[Cover]:
    choose = random.Random(3)
    return [
        Cover(kind, watermark, tag, final, open_ended, reason, choose.randrange(-(10**13), 10**13))
        for kind, (watermark, tag), final, open_ended, reason in itertools.product(
            CoverKind, ((None, None), (0, None), (65_535, b"\0" * 8), (-1, b"\xff" * 8)), (True, False), (True, False),
            REASON_CODES,
        )
    ]  # fmt: skip


def test_codes() -> None:
    """Every reason can be staged."""
    assert set(REASON_CODES) == set(REASONS)


async def test_view(conn: Conn, pool: LedgerPool) -> None:
    """What PostgreSQL makes of a row is what was packed, as of the release and not before; a withdrawal takes it out as
    of its own entry. Two lines of one document, and a report on it, are folded in their order."""
    key = doc_key("imported")
    told = [Effect(key, 0, 0, choice, "", cover) for cover in every_cover() for choice in (Action.ADD, Action.NARROW)]
    packed = b"".join(staged.packed(effect, line, 7) for line, effect in enumerate(told, 2))
    flip = stage(conn, [packed[:4_800], packed[4_800:]])
    await pool.write(entries.append, report("before", key))
    (before,) = covers.effects_upto(conn, [key], 1 << 60)[key]
    released = release(conn, flip)
    found = covers.effects_upto(conn, [key], released.seq)[key]
    ((id_,),) = conn.execute("SELECT id FROM imports WHERE number = %s", [flip.number]).fetchall()
    expected = [before, *staged.effects(packed, released.seq, id_)]
    assert sorted(found, key=lambda effect: (effect.seq, effect.ordinal)) == expected
    assert covers.effects_upto(conn, [key], released.seq - 1)[key] == [before]
    withdrawn = withdraw(conn, flip)
    assert fold(covers.effects_upto(conn, [key], withdrawn.seq)[key]) == fold([before])
    assert fold(covers.effects_upto(conn, [key], withdrawn.seq - 1)[key]) == fold(expected)
    confirmed = await pool.read(lambda conn: covers.confirm(conn, [key], withdrawn.seq, withdrawn.hash))
    assert confirmed == {key: fold([before])}
    restored, again = restore(conn, flip), withdraw(conn, flip)
    assert fold(covers.effects_upto(conn, [key], restored.seq)[key]) == fold(expected)
    assert fold(covers.effects_upto(conn, [key], restored.seq - 1)[key]) == fold([before])
    assert fold(covers.effects_upto(conn, [key], again.seq)[key]) == fold([before])
    assert [entry.kind for entry in await pool.read(lambda conn: entries.of_document(conn, key, 0, 10))] == [
        "report", "import.released", "import.withdrawn", "import.restored", "import.withdrawn",
    ]  # fmt: skip


def test_filter_source(conn: Conn) -> None:
    """A filter is made of staged rows as well, whether or not they are in force."""
    keys = [doc_key(f"waiting {n}") for n in range(50)]
    stage(conn, [rows(keys[:30], covering(1)), rows(keys[30:], covering(1), 8_193)])
    with snapshot.snapshot(conn):
        joined = b"".join(chunk for _, chunk in doc_keys.chunks(conn))
    assert {joined[at : at + 16] for at in range(0, len(joined), 16)} >= set(keys)


async def test_tokens(conn: Conn, pool: LedgerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mirrors: the tokens of an import in force are in snapshots, and come with its entry unless they are too many."""
    sealed = secrets.token_bytes(tokens.PAIR)
    flip = stage(conn, [rows([doc_key("mirrored")], covering(1))], sealed)
    with snapshot.snapshot(conn):
        assert sealed not in b"".join(tokens.chunks(conn))
    seq = release(conn, flip).seq
    with snapshot.snapshot(conn):
        assert sealed in b"".join(tokens.chunks(conn))
    (told,) = await pool.read(lambda conn: tokens.after(conn, seq - 1, seq, 10))
    assert (told.pairs, told.too_much) == (sealed, False)
    monkeypatch.setattr(tokens, "MOST_STAGED", 0)
    (told,) = await pool.read(lambda conn: tokens.after(conn, seq - 1, seq, 10))
    assert (told.pairs, told.too_much) == (b"", True)
    between = {"after": seq - 1, "upto": seq, "most": 0}
    assert await pool.read(lambda conn: tokens.RELEASED_BETWEEN.arun(conn, between))
    withdraw(conn, flip)
    with snapshot.snapshot(conn):
        assert sealed not in b"".join(tokens.chunks(conn))
    seq = restore(conn, flip).seq
    with snapshot.snapshot(conn):
        assert sealed in b"".join(tokens.chunks(conn))
    between = {"after": seq - 1, "upto": seq, "most": 0}
    assert await pool.read(lambda conn: tokens.RELEASED_BETWEEN.arun(conn, between))
    (told,) = await pool.read(lambda conn: tokens.after(conn, seq - 1, seq, 10))
    assert (told.pairs, told.too_much) == (b"", True)
    monkeypatch.undo()
    (told,) = await pool.read(lambda conn: tokens.after(conn, seq - 1, seq, 10))
    assert (told.pairs, told.too_much) == (sealed, False)


def test_altered(conn: Conn) -> None:
    """A row changed by hand, in the parts or in the table by document key, one taken away there and one put there: each
    is found by the sweep, and until it is undone."""
    keys = [doc_key(f"swept {n}") for n in range(20)]
    flip = stage(conn, [rows(keys, covering(1))])
    placed = release(conn, flip)
    assert faults(conn) == set()
    assert import_rows.whole(conn, flip)
    alter(conn, flip)
    assert not import_rows.named(conn, flip)
    assert faults(conn) == {(placed.seq, "rows_altered")}
    alter(conn, flip)
    assert faults(conn) == set()
    for change in (
        "UPDATE import_covers SET effect = set_byte(effect, 1, 1) WHERE doc_key = %(key)s",
        "DELETE FROM import_covers WHERE doc_key = %(key)s",
        "INSERT INTO import_covers SELECT %(other)s, import, ordinal, effect FROM import_covers LIMIT 1",
    ):
        with conn.transaction(force_rollback=True):
            conn.execute("SET LOCAL session_replication_role = replica")
            conn.execute(change, {"key": keys[3], "other": secrets.token_bytes(16)})
            assert faults(conn) == {(placed.seq, "rows_altered")}
            assert not import_rows.whole(conn, flip)
    with pytest.raises(Exception, match="kept"), conn.transaction():
        conn.execute("DELETE FROM import_covers WHERE doc_key = %s", [keys[3]])


def test_turns(conn: Conn) -> None:
    """An import taken back by hand, put back, released at another entry, or whose digest was changed: each is found."""
    flip, other = (stage(conn, [rows([doc_key(f"turned {n}")], covering(1))]) for n in range(2))
    placed = [act(conn, flip).seq for act in (release, withdraw, restore)]
    assert turned(conn) == set()
    for change, found in (
        ("INSERT INTO import_turns VALUES (%(number)s, %(first)s - 1, 3)", {placed[0] - 1}),
        ("DELETE FROM import_turns WHERE import = %(number)s AND action = 3", {placed[1]}),
        ("UPDATE import_turns SET action = 3 WHERE import = %(number)s", {placed[2]}),
        ("UPDATE import_turns SET import = %(other)s WHERE import = %(number)s", set(placed[1:])),
        ("UPDATE imports SET release_seq = release_seq - 1 WHERE number = %(number)s", {placed[0] - 1, placed[0]}),
        ("UPDATE imports SET digest = sha256(digest) WHERE number = %(number)s", set(placed)),
        ("DELETE FROM imports WHERE number = %(number)s", set(placed)),
    ):
        with conn.transaction(force_rollback=True):
            conn.execute("SET LOCAL session_replication_role = replica")
            conn.execute(change, {"number": flip.number, "other": other.number, "first": placed[0]})
            assert turned(conn) == {(seq, "turns_altered") for seq in found}
    with pytest.raises(Exception, match="append-only"), conn.transaction():
        conn.execute("DELETE FROM import_turns")


def turned(conn: Conn) -> set[tuple[int, str]]:
    whole = {"after": 0, "upto": entries.head(conn).seq}
    rows = tree.ENTRIES.run(conn, whole)
    return set(turn_faults(rows, decoded(rows), tree.TURNS.run(conn, whole)))


def faults(conn: Conn) -> set[tuple[int, str]]:
    """Of one round of the sweep over everything."""
    sweep, found = import_rows.Sweep(), set[tuple[int, str]]()
    for _ in range(20):
        found.update(sweep.turn(conn))
    return found


async def test_clear(conn: Conn, pool: LedgerPool) -> None:
    """What was withdrawn before its release goes; what waits, or was in force once, stays."""
    first = [rows([doc_key(f"{n}")], covering(1)) for n in range(3)]
    second = [rows([doc_key(f"{n}+")], covering(1), 8_193) for n in range(3)]
    flips = [stage(conn, parts_of_one) for parts_of_one in zip(first, second, strict=True)]
    release(conn, flips[1])
    withdraw(conn, flips[1])
    conn.execute("UPDATE imports SET state = 'withdrawn' WHERE number = %s", [flips[2].number])
    while await pool.write(clear):
        pass
    left = "SELECT DISTINCT import FROM import_parts UNION SELECT import FROM import_covers ORDER BY 1"
    kept = [flip.number for flip in flips[:2]]
    assert [number for (number,) in conn.execute(left) if number in {flip.number for flip in flips}] == kept
    assert sum(len(part) for part in parts(conn, flips[0])) == 2 * staged.ROW_BYTES
