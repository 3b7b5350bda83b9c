"""Filling a generation from a source of keys."""

import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from lostid.domain.position import Position
from lostid.filter.bloom import GROW_AT
from lostid.filter.generation import Generation, generations
from lostid.filter.header import Identity
from lostid.filter.rebuild import capacity_for, rebuild
from tests.filter.common import KEY_ID

AT = Position(7, b"h" * 32)


@pytest.fixture
def identity(boot: bytes) -> Identity:
    return Identity(5, KEY_ID, boot)


def in_chunks(keys: bytes, parts: int = 10) -> Callable[[], Iterable[tuple[float, bytes]]]:
    size = len(keys) // 16 // parts * 16
    return lambda: (((i + 1) / parts, keys[i * size : (i + 1) * size]) for i in range(parts))


def test_holds_all(run_dir: Path, identity: Identity) -> None:
    """Every key of the source is in, the position is noted, and the steps end at the whole."""
    keys = secrets.token_bytes(16 * 5_000)
    steps: list[float] = []
    rebuild(run_dir, identity, 10_000, AT, in_chunks(keys), steps.append)
    found = Generation.open_reader(run_dir, identity)
    assert found.bloom.contains_many(keys).all()
    assert found.counters.position() == AT
    assert steps == sorted(steps)
    assert steps[-1] == 1


def test_too_small(run_dir: Path, identity: Identity) -> None:
    """A file that turns out too small is begun again with twice the capacity, until the keys leave room."""
    keys = secrets.token_bytes(16 * 10_000)
    made = rebuild(run_dir, identity, 1_000, AT, in_chunks(keys), lambda share: None)
    assert made.sizing.capacity == 16_000
    assert made.bloom.fill() < GROW_AT
    assert Generation.open_reader(run_dir, identity).bloom.contains_many(keys).all()


def test_source_breaks(run_dir: Path, identity: Identity) -> None:
    """A source that breaks off leaves no file behind."""

    def source() -> Iterator[tuple[float, bytes]]:
        yield 0.1, secrets.token_bytes(16)
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        rebuild(run_dir, identity, 1_000, AT, source, lambda share: None)
    assert generations(run_dir) == []


@pytest.mark.parametrize(("documents", "capacity"), [(0, 1_000), (700, 1_000), (800, 2_000), (1_000_000, 2_048_000)])
def test_capacity(documents: int, capacity: int) -> None:
    """Doubled until what is known to come leaves room."""
    assert capacity_for(1_000, documents) == capacity
