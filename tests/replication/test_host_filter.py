"""What a replica finds on its host when it starts, and when it may show it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lostid.domain.position import Position
from lostid.filter.bloom import Sizing
from lostid.filter.generation import Generation, generations, path_of
from lostid.filter.header import HEADER_BYTES, Identity
from lostid.filter.page import PageWriter, Slot
from lostid.replication import lease
from lostid.replication.host_filter import HostFilter
from lostid.replication.rules import TERMS
from lostid.replication.swap import Build

KEY_ID, BOOT = b"key id 1", b"boot id of a boot"[:16]
CANARY = b"canary canary ca"
AT, LATER = Position(7, b"h" * 32), Position(9, b"j" * 32)
NOW = 10**12
JUST_STARTED = lease.restart(NOW, TERMS)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def page(run_dir: Path) -> Iterator[PageWriter]:
    with PageWriter(run_dir, KEY_ID, BOOT) as page:
        yield page


def made(run_dir: Path, gen: int, at: Position = AT, *keys: bytes) -> Generation:
    generation = Generation.create(run_dir, Identity(gen, KEY_ID, BOOT), Sizing.of(1_000))
    generation.add_many(b"".join((CANARY, *keys)))
    generation.complete(at)
    return generation


def a_host(page: PageWriter, run_dir: Path) -> HostFilter:
    return HostFilter(page, run_dir, KEY_ID, BOOT, [CANARY])


def test_found(page: PageWriter, run_dir: Path) -> None:
    """The page's generation at the page's position; all other files are removed."""
    for gen in (3, 4, 5):
        made(run_dir, gen)
    page.show(4, LATER)
    found = a_host(page, run_dir).find()
    assert found is not None
    assert found[0] == Build(4, LATER)
    assert generations(run_dir) == [4]


def test_found_without_page(page: PageWriter, run_dir: Path) -> None:
    """A fresh page says nothing: the newest whole file, at the position of its own header."""
    made(run_dir, 3)
    made(run_dir, 4, LATER)
    path_of(run_dir, 5).write_bytes(b"begun, not completed")
    found = a_host(page, run_dir).find()
    assert found is not None
    assert found[0] == Build(4, LATER)


def test_torn(page: PageWriter, run_dir: Path) -> None:
    """Where the page's position was torn by a kill, the header's counts: it is older, which is no harm."""
    made(run_dir, 3)
    page.show(3, LATER)
    page.slots[Slot.SEQLOCK] += 1
    found = a_host(page, run_dir).find()
    assert found is not None
    assert found[0] == Build(3, AT)


@pytest.mark.parametrize("damage", ["bits", "header", "length", "gone", "canary"])
def test_not_whole(page: PageWriter, run_dir: Path, damage: str) -> None:
    """A filter that lost a byte, its header, its end, a canary or itself is not believed, and removed."""
    made(run_dir, 3)
    page.show(3, AT)
    path = path_of(run_dir, 3)
    raw = bytearray(path.read_bytes())
    if damage == "bits":
        raw[next(i for i in range(HEADER_BYTES, len(raw)) if raw[i])] = 0
    if damage == "header":
        raw[40] ^= 1
    path.unlink() if damage == "gone" else path.write_bytes(raw[:-1] if damage == "length" else raw)
    canaries = [b"another canary.."] if damage == "canary" else [CANARY]
    assert HostFilter(page, run_dir, KEY_ID, BOOT, canaries).find() is None
    assert generations(run_dir) == []


def test_may_show(page: PageWriter, run_dir: Path) -> None:
    """What readers may still carry a lease for is not taken back before that lease has ended."""
    host = a_host(page, run_dir)
    after = JUST_STARTED.latest_ns
    assert host.may_show(Build(1, AT), JUST_STARTED, NOW, found=False)  # nothing was ever shown here
    assert not host.may_show(Build(1, AT), JUST_STARTED, NOW, found=True)  # a page that is gone may have said more
    page.show(1, LATER)
    assert host.may_show(Build(1, LATER), JUST_STARTED, NOW, found=True)
    for at in (AT, Position(9, b"k" * 32), Position(10, b"l" * 32)):
        assert not host.may_show(Build(2, at), JUST_STARTED, NOW, found=False)
        assert host.may_show(Build(2, at), JUST_STARTED, after, found=False)
    page.slots[Slot.SEQLOCK] += 1
    assert not host.may_show(Build(1, AT), JUST_STARTED, after - 1, found=True)
    assert host.may_show(Build(1, AT), JUST_STARTED, after, found=True)


def test_numbers(page: PageWriter, run_dir: Path) -> None:
    """A generation's number is never used again while anybody may remember it."""
    host = a_host(page, run_dir)
    assert host.next_gen() == 1
    made(run_dir, 6)
    assert host.next_gen() == 7
    page.show(9, AT)
    assert host.next_gen() == 10
