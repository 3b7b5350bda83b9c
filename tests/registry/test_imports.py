"""The relay brings Redis over whole imports, whatever comes in between."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lostid.domain.staged import Flip
from lostid.ledger.errors import LedgerFault
from lostid.ledger.pool import connect
from lostid.registry.buckets import Layout
from lostid.registry.client import open_client
from lostid.registry.writer import Writer, request_rebuild
from lostid.replication.relay import Relay
from tests.conftest import NewDatabase
from tests.registry.ledgers import Ledger, begin, contents, opened, same
from tests.registry.making import TAG_KEY, flush, key
from tests.staging import alter, covering, release, restore, rows, stage, withdraw


@pytest.fixture
def dsn(new_database: NewDatabase) -> str:
    made = new_database()
    begin(made)
    return made


@contextmanager
def relay(dsn: str, url: str) -> Iterator[Relay]:
    with connect(dsn, name="test-relay") as conn, open_client(url) as client:
        yield Relay(conn, client, TAG_KEY, patience=0)


def run_down(relay: Relay) -> None:
    while relay.turn():
        pass


def staged_on(ledger: Ledger, seed: int) -> Flip:
    """In two parts, on documents that have reports, on others, and twice on some."""
    reported, others = map(key, range(0, 40, 3)), map(key, range(100 * seed, 100 * seed + 30))
    first = rows(reported, covering(8_000 + seed, open_ended=True))
    return stage(ledger.conn, [first, rows([*others, key(1)], covering(7_500), first_line=8_193)])


def test_follow(dsn: str, writer: Writer, valkey_url: str) -> None:
    """Staged rows change nothing; release, withdrawal and rewind bring the registry to what a fill makes of it, with
    reports before, between and after, and two imports on the same documents."""
    with opened(dsn) as ledger, relay(dsn, valkey_url) as follower:
        ledger.grow(40)
        run_down(follower)
        before = contents(writer)
        one, two = staged_on(ledger, 1), staged_on(ledger, 2)
        run_down(follower)
        assert contents(writer) == before
        for act in (
            lambda: release(ledger.conn, one),
            lambda: ledger.grow(15),
            lambda: release(ledger.conn, two),
            lambda: withdraw(ledger.conn, one),
            lambda: ledger.grow(15),
            lambda: restore(ledger.conn, one),
            lambda: withdraw(ledger.conn, two),
        ):
            act()
            run_down(follower)
            assert same(ledger, writer)
            assert not writer.head().bring
        followed = contents(writer)
        request_rebuild(writer.client)
        run_down(follower)
        assert contents(writer) == followed


def test_stale_record(dsn: str, writer: Writer, valkey_url: str) -> None:
    """A record that comes back between the dropping and the head's move is never under the new head."""
    with opened(dsn) as ledger, relay(dsn, valkey_url) as follower:
        ledger.grow(20)
        run_down(follower)
        head = writer.head()
        assert head.position is not None
        kept = contents(writer)
        release(ledger.conn, staged_on(ledger, 1))
        layout = Layout(head.bits)
        assert writer.drop(head.position, layout, "theirs", 0, [key(number) for number in range(40)])
        for name, bucket in kept.items():
            assert isinstance(bucket, dict)
            writer.client.hset(name, mapping=bucket)
        run_down(follower)
        assert not writer.head().drop
        flush(writer.client)
        run_down(follower)
        assert same(ledger, writer)


def test_altered(dsn: str, writer: Writer, valkey_url: str) -> None:
    """Rows that are not those that the entry names are not brought to Redis: its head stays where it was."""
    with opened(dsn) as ledger, relay(dsn, valkey_url) as follower:
        ledger.grow(5)
        run_down(follower)
        before = writer.head().position
        flip = staged_on(ledger, 1)
        release(ledger.conn, flip)
        alter(ledger.conn, flip)
        with pytest.raises(LedgerFault):
            run_down(follower)
        assert writer.head().position == before
        alter(ledger.conn, flip)
        run_down(follower)
        assert same(ledger, writer)
