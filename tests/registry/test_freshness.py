"""The registry as a whole: two relays, a ledger that moves, readers, and a Redis to which everything happens."""

import asyncio
import random
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress

import pytest
import redis

from lostid.domain.position import Position
from lostid.domain.record import Record
from lostid.ledger import covers
from lostid.ledger.pool import aconnect, connect
from lostid.registry.client import open_client
from lostid.registry.lookup import Source
from lostid.registry.writer import request_rebuild
from lostid.replication.relay import Relay
from tests.registry.conftest import OwnValkey
from tests.registry.ledgers import begin, opened
from tests.registry.looking import worker
from tests.registry.making import TAG_KEY, flush

REPORTS = 250
NUMBERS = 7


@contextmanager
def relaying(dsn: str, url: str, count: int) -> Iterator[None]:
    """Relays at full speed, undeterred by anything that Redis does."""
    over = threading.Event()

    def work(relay: Relay) -> None:
        while not over.wait(0.001):
            with suppress(redis.RedisError):
                while relay.turn():
                    pass

    with ExitStack() as stack:
        threads = []
        for _ in range(count):
            conn, client = stack.enter_context(connect(dsn, name="relay")), stack.enter_context(open_client(url))
            threads.append(threading.Thread(target=work, args=[Relay(conn, client, TAG_KEY, patience=0.1)]))
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()


def fates(server: OwnValkey) -> Mapping[str, Callable[[], None]]:
    """What may become of Redis. Each leaves it running."""
    older = server.saved.with_name("older.rdb")

    def act(what: Callable[[redis.Redis], object]) -> None:
        with suppress(redis.RedisError), open_client(server.url) as client:
            what(client)

    def restart() -> None:
        server.kill()
        server.start()

    def restart_older() -> None:
        server.kill()
        if older.exists():
            shutil.copy(older, server.saved)
        server.start()

    def freeze() -> None:
        server.freeze()
        threading.Timer(0.08, server.thaw).start()

    def keep() -> None:
        act(lambda client: client.save())
        if server.saved.exists():
            shutil.copy(server.saved, older)

    return {
        "keep": keep,
        "flush": lambda: act(flush),
        "rebuild": lambda: act(request_rebuild),
        "restart": restart,
        "older copy": restart_older,
        "freeze": freeze,
        "scripts": lambda: act(lambda client: client.script_flush()),
    }


@pytest.mark.parametrize("seed", [1, 2])
async def test_whatever_becomes_of_redis(seed: int, postgres_dsn: str, own_valkey: OwnValkey) -> None:
    """A card that the reader's own position covers is never clear, and one that nobody reported always is."""
    choose = random.Random(seed)
    if seed == 1:
        begin(postgres_dsn)
    through = dict.fromkeys(range(NUMBERS), 0)
    told = Counter[Source]()
    happens = fates(own_valkey)
    async with await aconnect(postgres_dsn, name="test") as conn:
        lock = asyncio.Lock()

        async def confirm(keys: Sequence[bytes], reader: Position) -> Mapping[bytes, Record] | None:
            async with lock:
                return await covers.confirm(conn, keys, reader.seq, reader.hash)

        with opened(postgres_dsn) as ledger, relaying(postgres_dsn, own_valkey.url, 2):
            async with worker(own_valkey.url, confirm=confirm, timeout=0.02) as work:
                for day in range(seed * 1_000, seed * 1_000 + REPORTS):
                    number = choose.randrange(NUMBERS)
                    work.position = await asyncio.to_thread(ledger.report, number, day)
                    through[number] = day
                    if choose.random() < 0.08:
                        await asyncio.to_thread(happens[choose.choice(list(happens))])
                    await asyncio.sleep(choose.choice((0, 0, 0.002, 0.01)))
                    for asked in (number, choose.randrange(NUMBERS)):
                        if through[asked]:
                            ((status, source),) = await work.look(asked, day=through[asked])
                            assert status == "reported"
                            told[source] += 1
                        ((status, _),) = await work.look(asked, day=seed * 1_000 + REPORTS)
                        assert status == "clear"
    assert min(told[Source.REGISTRY], told[Source.LEDGER]) > REPORTS // 10
