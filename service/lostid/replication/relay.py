"""RELAY, the shell: brings the ledger's entries to Redis, and fills it anew whenever it does not fit.

What it may do is in ``copying``; that Redis lets it do no more is in the scripts. It holds nothing that another relay
would need: any number may run, and any of them may die at any point.
"""

import logging
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import takewhile

import redis

from lostid.domain.keys import Keyring
from lostid.domain.staged import Flip
from lostid.ledger import covers, entries, outline, snapshot
from lostid.ledger.entries import Entry
from lostid.ledger.errors import LedgerError
from lostid.ledger.pool import connect, listen, wait
from lostid.ledger.statement import Conn, Statement
from lostid.registry.buckets import Layout, layout_for, overfull
from lostid.registry.client import open_client
from lostid.registry.filling import Filler, Overtaken
from lostid.registry.head import Head
from lostid.registry.writer import Writer
from lostid.replication import copying, records
from lostid.replication.apply import Reload, accept_batch
from lostid.replication.copying import Move
from lostid.replication.relaying_imports import better_filled, bring_back, bring_over
from lostid.replication.rules import Position
from lostid.secrets import load_or_make
from lostid.settings import Settings

BATCH = 256
"""Entries in one round trip to Redis."""
LOOK_EVERY = 0.2
"""Seconds between two looks. A new entry wakes us at once; what only a look shows (Redis was emptied, or a record is
doubted) costs no answer meanwhile, since the ledger gives it. Each look costs a millisecond of CPU, for ever."""
GATHER = 0.01
"""Seconds from the first entry's wake-up to the look, so that those written at about the same time travel together. No
receipt waits for Redis, and until it has an entry the ledger answers."""
PATIENCE = 5.0
"""Seconds in which a fill by another relay must get on before we take it over."""
FIRST_RETRY, SLOWEST_RETRY = 0.05, 1.0
COUNTING = "10min"
"""Counting the keys of a large ledger is the one statement of ours that takes its time."""

# Redis's head was read before this: what another relay has appended meanwhile is therefore in what this shows.
PLACE = Statement(
    "SELECT seq, hash, EXISTS (SELECT FROM entries WHERE seq = %(seq)s AND hash = %(hash)s) FROM head",
    lambda rows: (Position(rows[0][0], rows[0][1]), bool(rows[0][2])),
)

_log = logging.getLogger(__name__)


class Relay:
    """One ledger connection, one Redis. `turn` is one look at both and what follows from it."""

    def __init__(
        self,
        conn: Conn,
        client: redis.Redis,
        tag_key: bytes,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._conn = conn
        self._writer = Writer(client)
        self._tag_key = tag_key
        self._patience = patience
        self._clock = clock
        self._own_fill = ""
        self._others = ""
        self._since = clock()

    def turn(self) -> bool:
        """Whether there may be more to do at once."""
        head = self._writer.head()
        ledger, on_chain = self._place(head.position)
        step = copying.move(copying.Head(head.position, head.fill), on_chain, ledger)
        if step is Move.REFILL:
            return self._fill_when_due(head)
        if overfull(head.count, head.bits):
            return self._fill(head, head.count)
        self._repair(head)
        if step is Move.APPEND:
            return self._append(head)
        if head.drop:
            self._writer.settle()
        if head.bring:
            bring_back(self._conn, self._writer, head, self._tag_key)
        return bool(head.bring)

    def _place(self, at: Position | None) -> tuple[Position, bool]:
        return PLACE.run(self._conn, {"seq": at.seq if at else -1, "hash": at.hash if at else b""})

    def _append(self, head: Head) -> bool:
        """Bring the next entries. Fewer taken than sent: somebody moved the head; the next turn sees where it is."""
        assert head.position is not None  # noqa: S101  a head that is on the chain has one
        accepted = accept_batch(head.position, entries.read_after(self._conn, head.position.seq, BATCH))
        if isinstance(accepted, Reload):
            return True  # the ledger has changed under us: look again
        first = accepted.entries[0]
        if first.flip is not None:
            return self._bring_over(head, first, first.flip)
        ordinary = list(takewhile(lambda entry: entry.flip is None, accepted.entries))
        keys = [key for entry in ordinary for key in entry.keys]
        effects = covers.effects_upto(self._conn, keys, ordinary[-1].seq)
        taken = self._writer.append(records.lines(ordinary, effects, self._tag_key), Layout(head.bits))
        return taken < len(accepted.entries) or len(accepted.entries) == BATCH

    def _bring_over(self, head: Head, entry: Entry, flip: Flip) -> bool:
        """An entry about a whole import, unless another relay is at it and gets on."""
        if better_filled(flip, head):
            return self._fill(head, snapshot.count_keys(self._conn))
        if head.drop and not self._stalled(head.drop):
            return False
        bring_over(self._conn, self._writer, head, entry, flip)
        return True

    def _repair(self, head: Head) -> None:
        """Compare the records that readers could not believe with the ledger."""
        assert head.position is not None  # noqa: S101  a head that is on the chain has one
        keys = [key for key in self._writer.doubted() if len(key) == snapshot.KEY_BYTES]
        if not keys:
            return
        effects = covers.effects_upto(self._conn, keys, head.position.seq)
        for key in keys:
            value = records.value_after(key, effects.get(key, ()), self._tag_key)
            if self._writer.repair(head.position, Layout(head.bits), key, value):
                _log.warning("a record in redis was other than the ledger says; it is mended")

    def _fill_when_due(self, head: Head) -> bool:
        """Fill the registry anew, unless another relay is at it and gets on."""
        if head.fill and head.fill != self._own_fill and not self._stalled(f"{head.fill}:{head.step}"):
            return False
        self._writer.sorting(0)
        return self._fill(head, snapshot.count_keys(self._conn))

    def _stalled(self, work: str) -> bool:
        """Whether what another relay is at has not moved for a while, on our own clock."""
        if work != self._others:
            self._others, self._since = work, self._clock()
        return self._clock() - self._since >= self._patience

    def _fill(self, seen: Head, count: int) -> bool:
        """Wipe what was seen, fill in every record of one snapshot, give the head back last.

        Before the wipe the ledger has sorted its effects, which may take a minute; how far it is nobody can tell."""
        layout = layout_for(count)
        self._writer.sorting(count)
        try:
            with snapshot.snapshot(self._conn) as ledger:
                outlines = outline.batches(self._conn)
                nonce = self._writer.wipe(seen, layout, count)
                if nonce is None:
                    return True  # another relay was faster
                self._own_fill = nonce
                _log.info("filling the registry with about %d records", count)
                filler = Filler(self._writer.client, nonce, layout)
                filler.sweep()
                effects_of = partial(covers.effects_upto, self._conn, seq=ledger.seq)
                filler.fill(records.batches(outlines, effects_of, self._tag_key))
            filler.finish(Position(ledger.seq, ledger.hash))
        except Overtaken:
            _log.info("the fill is no longer ours: another relay has wiped, or redis has lost steps of it")
        else:
            _log.info("filled the registry as of entry %d", ledger.seq)
        return True


def run(settings: Settings, fd: int | None = None) -> int:
    """Relay until SIGTERM, through any outage of either side. Ends at once: there is nothing to put in order."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="lostid relay: %(message)s")
    secrets = load_or_make(settings.secrets_path, make=False)
    tag_key = Keyring(secrets.outer, secrets.pepper, secrets.sealing).record_tag_key
    assert settings.database_url is not None  # noqa: S101  the supervisor has resolved both
    assert settings.redis_url is not None  # noqa: S101
    retry, said = FIRST_RETRY, ""
    while True:
        try:
            with (
                connect(settings.database_url, name="lostid-relay", statement_timeout=COUNTING) as conn,
                open_client(settings.redis_url) as client,
            ):
                listen(conn, entries.CHANNEL)
                relay = Relay(conn, client, tag_key)
                while True:
                    if not relay.turn() and wait(conn, LOOK_EVERY):
                        time.sleep(GATHER)
                    retry, said = FIRST_RETRY, ""
        except (LedgerError, redis.RedisError, OSError) as error:
            if str(error) != said:  # an outage is one line, however long it takes
                said = str(error)
                _log.warning("%s: %s; trying again", type(error).__name__, said)
        time.sleep(retry)
        retry = min(2 * retry, SLOWEST_RETRY)
