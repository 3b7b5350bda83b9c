"""One writer, readers in other processes: nothing that was published is ever missed, torn or taken back."""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lostid.domain.position import Position
from lostid.filter.bloom import GROW_AT, Sizing
from lostid.filter.generation import Generation, path_of
from lostid.filter.header import Identity
from lostid.filter.page import PageWriter, Unproven
from lostid.filter.view import FilterView
from tests.filter.actors import Seen, hash_of, key_of, look_up, read_position
from tests.filter.common import KEY_ID

spawn = multiprocessing.get_context("spawn")


@contextmanager
def readers(actor: Callable[..., None], run_dir: Path, boot: bytes, seen: list[Seen]) -> Iterator[None]:
    """Two readers at work for as long as the block runs; `seen` is filled at its end."""
    pipes = []
    for _ in range(2):
        ours, theirs = spawn.Pipe()
        child = spawn.Process(target=actor, args=(run_dir, boot, theirs))
        child.start()
        pipes.append((child, ours))
    try:
        for _, pipe in pipes:
            assert pipe.recv() == "ready"
        yield
        for child, pipe in pipes:
            pipe.send("stop")
            seen.append(pipe.recv())
            child.join()
    finally:
        for child, _ in pipes:
            child.kill()


class Host:
    """A replica reduced to its filter: keys arrive, generations fill up and are replaced."""

    def __init__(self, run_dir: Path, boot: bytes, page: PageWriter) -> None:
        self.run_dir, self.boot, self.page, self.seq = run_dir, boot, page, 0
        self.now = self.make(1, 100)

    def make(self, gen: int, capacity: int) -> Generation:
        made = Generation.create(self.run_dir, Identity(gen, KEY_ID, self.boot), Sizing.of(capacity))
        made.add_many(b"".join(map(key_of, range(1, self.seq + 1))))
        made.complete(Position(self.seq, hash_of(self.seq)))
        return made

    def add(self) -> None:
        self.seq += 1
        self.now.add_all([key_of(self.seq)])
        self.page.publish(Position(self.seq, hash_of(self.seq)))

    def swap(self, capacity: int) -> None:
        old = self.now.identity.gen
        self.now = self.make(old + 1, capacity)
        self.page.flip(old + 1)
        path_of(self.run_dir, old).unlink()


@pytest.fixture
def page(run_dir: Path, boot: bytes) -> Iterator[PageWriter]:
    with PageWriter(run_dir, KEY_ID, boot) as writer:
        yield writer


def test_swap(run_dir: Path, boot: bytes, page: PageWriter) -> None:
    """While generations grow and are swapped, readers find every key up to the position they read before."""
    host = Host(run_dir, boot, page)
    page.flip(1)
    host.add()
    seen: list[Seen] = []
    with readers(look_up, run_dir, boot, seen):
        until = time.monotonic() + 2
        while time.monotonic() < until:
            for _ in range(40):
                host.add()
            full = host.now.bloom.fill() > GROW_AT
            host.swap(host.now.sizing.capacity * 2 if full else host.now.sizing.capacity)
    for each in seen:
        assert each.wrong == 0
        assert each.looks > 100
        assert each.generations > 10


def test_torn(run_dir: Path, boot: bytes, page: PageWriter) -> None:
    """Readers never see a seq with the hash of another, however fast positions follow one another."""
    page.publish(Position(1, hash_of(1)))
    seen: list[Seen] = []
    with readers(read_position, run_dir, boot, seen):
        until, n = time.monotonic() + 1.5, 1
        while time.monotonic() < until:
            for _ in range(1_000):
                n += 1
                page.publish(Position(n, hash_of(n)))
    for each in seen:
        assert each.wrong == 0
        assert each.looks > 100


def test_nothing_loaded(run_dir: Path, boot: bytes, page: PageWriter) -> None:
    """Before the first generation is there, and when its file is gone or not to be believed, nothing is proved."""
    view = FilterView(run_dir, KEY_ID, boot)
    with pytest.raises(Unproven):
        view.current()
    page.flip(1)
    with pytest.raises(Unproven):
        view.current()
    path_of(run_dir, 1).write_bytes(b"rubbish")
    with pytest.raises(Unproven, match="not a filter"):
        view.current()


def test_old_map_stays(run_dir: Path, boot: bytes, page: PageWriter) -> None:
    """A look-up that began before the swap ends well after it: the old map outlives its file."""
    host = Host(run_dir, boot, page)
    page.flip(1)
    host.add()
    view = FilterView(run_dir, KEY_ID, boot)
    before = view.current()
    host.swap(200)
    assert before(key_of(1))
    assert view.current() is not before
    assert view.current()(key_of(1))


def test_page_replaced(run_dir: Path, boot: bytes, page: PageWriter) -> None:
    """A worker takes up a page that was made anew under its name, and looks up in the generation that it names."""
    host = Host(run_dir, boot, page)
    page.flip(1)
    view = FilterView(run_dir, KEY_ID, boot)
    assert not view.current()(key_of(1))
    (run_dir / "page").unlink()
    with pytest.raises(Unproven):
        view.refresh()
    page.close()
    with PageWriter(run_dir, KEY_ID, boot) as fresh:
        host.page = fresh
        host.swap(200)
        host.add()
        view.refresh()
        assert view.current()(key_of(1))
        assert view.page.position() == Position(1, hash_of(1))
