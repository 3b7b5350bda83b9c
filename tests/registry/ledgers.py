"""Real ledgers for the relay's tests, with entries drawn at random."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

from lostid.domain.covers import Action, Cover, CoverKind, Effect
from lostid.domain.position import Position
from lostid.ledger import covers, entries, snapshot
from lostid.ledger.entries import Draft
from lostid.ledger.migrate import prepare
from lostid.ledger.pool import connect
from lostid.ledger.statement import Conn
from lostid.registry.buckets import Layout
from lostid.registry.writer import Writer
from lostid.replication import records
from tests.registry.making import TAG_KEY, everything, key

CANARIES = [key(1_000), key(1_001)]


def begin(dsn: str) -> None:
    """Schema, genesis and the canaries' entry."""
    with connect(dsn, name="test") as conn:
        prepare(conn, {"pepper": "00"}, CANARIES)


class Ledger:
    """A connection, and what a writer does on it."""

    def __init__(self, conn: Conn, seed: int = 1) -> None:
        self.conn = conn
        self._choose = random.Random(seed)
        self._reports: list[tuple[str, list[int]]] = []

    @property
    def head(self) -> Position:
        head = entries.head(self.conn)
        return Position(head.seq, head.hash)

    def report(self, number: int, through: int) -> Position:
        """All cards of this number up to a day are reported."""
        return self._append([self._effect(number, Action.ADD, "rpt_x", _through(through))])

    def withdraw(self, number: int) -> Position:
        """What `report` reported on this number is taken back."""
        return self._append([self._effect(number, Action.WITHDRAW, "rpt_x", None)])

    def grow(self, count: int, numbers: int = 40) -> None:
        """Append entries of every kind, on one document or several."""
        for _ in range(count):
            self._append(self._drawn(numbers))

    def _drawn(self, numbers: int) -> list[Effect]:
        choose = self._choose
        if self._reports and choose.random() < 0.3:
            report, touched = choose.choice(self._reports)
            return [self._effect(number, Action.WITHDRAW, report, None) for number in touched]
        report = f"rpt_{len(self._reports)}"
        touched = choose.sample(range(numbers), choose.choice((1, 1, 1, 4)))
        self._reports.append((report, touched))
        effects = [self._effect(number, Action.ADD, report, self._cover()) for number in touched]
        if choose.random() < 0.2:
            effects += [self._effect(number, Action.NARROW, report, _through(8_000)) for number in touched]
        return effects

    def _cover(self) -> Cover:
        kind = self._choose.choice(list(CoverKind))
        tag = self._choose.randbytes(8) if kind in (CoverKind.ONLY, CoverKind.ALL_BUT) else None
        day = self._choose.randrange(7_000, 9_000) if kind is CoverKind.THROUGH else None
        final, open_ended = self._choose.random() < 0.3, kind is not CoverKind.ONLY
        return Cover(kind, day, tag, final, open_ended, "replaced" if final else "lost", 0)

    @staticmethod
    def _effect(number: int, action: Action, report: str, cover: Cover | None) -> Effect:
        return Effect(key(number), 0, 0, action, report, cover)

    def _append(self, effects: list[Effect]) -> Position:
        done = entries.APPEND.run(self.conn, entries.append_params(Draft("report", "rpt_x", {}, effects)))
        return Position(done.seq, done.hash)


def _through(day: int) -> Cover:
    return Cover(CoverKind.THROUGH, day, None, final=False, open_ended=False, reason="lost", effective_at_ms=0)


@contextmanager
def opened(dsn: str, seed: int = 1) -> Iterator[Ledger]:
    with connect(dsn, name="test") as conn:
        yield Ledger(conn, seed)


def expected(ledger: Ledger) -> dict[bytes, bytes]:
    """What the registry is to hold: the records that the ledger's effects come to."""
    with snapshot.snapshot(ledger.conn) as head:
        keys = [key for (key,) in ledger.conn.execute("SELECT DISTINCT doc_key FROM effects")]
        effects = covers.effects_upto(ledger.conn, keys, head.seq)
    folded = {key: records.value_after(key, effects[key], TAG_KEY) for key in keys}
    return {key: value for key, value in folded.items() if value is not None}


def same(ledger: Ledger, writer: Writer) -> bool:
    """The registry is where the ledger is, holds exactly its records, and counts them right."""
    head, want = writer.head(), expected(ledger)
    if (head.position, head.count) != (ledger.head, len(want)):
        return False
    return contents(writer) == contents_of(want, head.bits)


def contents(writer: Writer) -> dict[bytes, object]:
    """Every bucket."""
    return {name: held for name, held in everything(writer).items() if name.startswith(b"{lostid}b")}


def contents_of(want: dict[bytes, bytes], bits: int) -> dict[bytes, object]:
    layout, buckets = Layout(bits), dict[bytes, dict[bytes, bytes]]()
    for one, value in want.items():
        buckets.setdefault(layout.bucket(one), {})[layout.field(one)] = value
    return dict(buckets)
