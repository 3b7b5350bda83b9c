"""Filter files: what is believed of them, and what is not."""

import secrets
from pathlib import Path
from typing import Any

import pytest

from lostid.domain.position import Position
from lostid.filter.bloom import Sizing
from lostid.filter.generation import Generation, generations, path_of
from lostid.filter.header import HEADER_BYTES, Identity, Malformed
from tests.filter.common import KEY_ID

AT = Position(7, b"h" * 32)
CANARY = b"canary canary ca"


@pytest.fixture
def identity(boot: bytes) -> Identity:
    return Identity(1, KEY_ID, boot)


@pytest.fixture
def complete(run_dir: Path, identity: Identity) -> Generation:
    generation = Generation.create(run_dir, identity, Sizing.of(10_000))
    generation.add_many(secrets.token_bytes(16 * 5_000))
    generation.add_all([CANARY])
    generation.complete(AT)
    return generation


def patch(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as f:
        f.seek(offset)
        f.write(data)


def test_again(run_dir: Path, identity: Identity, complete: Generation) -> None:
    """What was completed is found again: bits, counts and position."""
    again = Generation.open_writer(run_dir, identity)
    again.self_test([CANARY])
    assert again.counters.position() == AT
    assert (again.bloom.count, again.bloom.bits_set) == (complete.bloom.count, complete.bloom.bits_set)
    assert again.bloom.bitarray == complete.bloom.bitarray
    assert again.bloom.fill() == pytest.approx(0.5, abs=0.02)


def test_one_copy(run_dir: Path, identity: Identity, complete: Generation) -> None:
    """A reader sees what the writer adds after it mapped the file, and cannot write itself."""
    reader = Generation.open_reader(run_dir, identity)
    key = secrets.token_bytes(16)
    assert not reader.contains(key)
    complete.add_all([key])
    assert reader.contains(key)
    with pytest.raises(TypeError):
        reader.bloom.add(secrets.token_bytes(16))


def test_unfinished(run_dir: Path, identity: Identity) -> None:
    """A file that is still being built is not believed, nor is one built over."""
    Generation.create(run_dir, identity, Sizing.of(1_000)).add_all([CANARY])
    with pytest.raises(Malformed, match="never completed"):
        Generation.open_reader(run_dir, identity)
    with pytest.raises(FileExistsError):
        Generation.create(run_dir, identity, Sizing.of(1_000))


@pytest.mark.parametrize("other", [{"key_id": b"key id 2"}, {"boot_id": b"another boot...."}, {"gen": 2}])
def test_not_ours(run_dir: Path, identity: Identity, complete: Generation, other: dict[str, Any]) -> None:
    """A file of another key, boot or number is not believed."""
    fields: dict[str, Any] = {"gen": 1, "key_id": KEY_ID, "boot_id": identity.boot_id}
    path_of(run_dir, 2).hardlink_to(path_of(run_dir, 1))
    with pytest.raises(Malformed, match="another"):
        Generation.open_reader(run_dir, Identity(**fields | other))


@pytest.mark.parametrize(
    ("offset", "data", "sentence"),
    [
        (0, b"nonsense", "not a filter"),
        (8, b"\x63", "format"),
        (20, b"\x99", "digest"),
        (32, b"\x99", "digest"),
    ],
)
def test_damaged_header(
    run_dir: Path, identity: Identity, complete: Generation, offset: int, data: bytes, sentence: str
) -> None:
    """Every word of the fixed header is checked before it is used."""
    patch(path_of(run_dir, 1), offset, data)
    with pytest.raises(Malformed, match=sentence):
        Generation.open_reader(run_dir, identity)


def test_short_file(run_dir: Path, identity: Identity, complete: Generation) -> None:
    """A file that ends early is refused before it is mapped, not found out by a bus error."""
    path = path_of(run_dir, 1)
    path.write_bytes(path.read_bytes()[:-4096])
    with pytest.raises(Malformed, match="long"):
        Generation.open_reader(run_dir, identity)


def test_lost_bits(run_dir: Path, identity: Identity, complete: Generation) -> None:
    """A single lost byte of bits is noticed by the self-test, and so is a missing canary."""
    path = path_of(run_dir, 1)
    raw = path.read_bytes()
    at = next(i for i in range(HEADER_BYTES, len(raw)) if raw[i])
    patch(path, at, b"\0")
    with pytest.raises(Malformed, match="bits"):
        Generation.open_writer(run_dir, identity).self_test([])
    patch(path, at, raw[at : at + 1])
    opened = Generation.open_writer(run_dir, identity)
    opened.self_test([CANARY])
    with pytest.raises(Malformed, match="canary"):
        opened.self_test([b"never reported.."])


def test_killed_before_count(run_dir: Path, identity: Identity, complete: Generation) -> None:
    """Bits that were set before a kill, and not counted, do not spoil the file: they are counted at the next start."""
    complete.bloom.add(b"set, not counted")
    opened = Generation.open_writer(run_dir, identity)
    opened.self_test([CANARY])
    assert opened.bloom.bits_set == complete.bloom.bits_set


def test_torn_position(run_dir: Path, identity: Identity, complete: Generation) -> None:
    """A position torn by a kill is no position."""
    offset = 35 * 8
    for word in range(5):
        whole = path_of(run_dir, 1).read_bytes()[offset + 8 * word : offset + 8 * word + 8]
        patch(path_of(run_dir, 1), offset + 8 * word, b"\x55" * 8)
        assert Generation.open_writer(run_dir, identity).counters.position() is None
        patch(path_of(run_dir, 1), offset + 8 * word, whole)
    assert Generation.open_writer(run_dir, identity).counters.position() == AT
    complete.counters.note(Position(8, b"i" * 32))
    assert Generation.open_writer(run_dir, identity).counters.position() == Position(8, b"i" * 32)


def test_numbers(run_dir: Path, complete: Generation, identity: Identity) -> None:
    """The generations of a directory are found by their names, and by nothing else."""
    Generation.create(run_dir, Identity(12, KEY_ID, identity.boot_id), Sizing.of(1_000))
    (run_dir / "filter.x").touch()
    assert generations(run_dir) == [1, 12]
