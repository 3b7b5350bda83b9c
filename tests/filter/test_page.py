"""The page: what is believed of it, by whom, and in which order."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lostid.domain.position import Position
from lostid.filter.page import (
    PAGE_NAME,
    PageHeld,
    PageReader,
    PageWriter,
    Phase,
    Progress,
    Slot,
    Unproven,
    boot_id,
    boottime_ns,
    store_order_is_kept,
    zero_lease,
)
from tests.filter.common import KEY_ID

AT = Position(41, bytes(range(32)))


@pytest.fixture
def writer(run_dir: Path, boot: bytes) -> Iterator[PageWriter]:
    with PageWriter(run_dir, KEY_ID, boot) as page:
        yield page


@pytest.fixture
def reader(writer: PageWriter, run_dir: Path, boot: bytes) -> PageReader:
    return PageReader(run_dir, KEY_ID, boot)


def test_told(writer: PageWriter, reader: PageReader) -> None:
    """A reader sees each value as it was stored, at once."""
    writer.flip(3)
    writer.publish(AT)
    writer.set_auth_seq(40)
    writer.grant(123_456_789_012_345)
    writer.report(Phase.REBUILDING, 5, 10)
    assert (reader.gen(), reader.position(), reader.auth_seq()) == (3, AT, 40)
    assert reader.lease_until() == 123_456_789_012_345
    assert reader.progress() == Progress(Phase.REBUILDING, 5, 10)


def test_nothing_yet(run_dir: Path, boot: bytes) -> None:
    """Without a page nothing is proved."""
    with pytest.raises(Unproven):
        PageReader(run_dir, KEY_ID, boot)


def test_second_writer(run_dir: Path, boot: bytes, writer: PageWriter) -> None:
    """A second replica on the same page is refused for as long as the first lives."""
    with pytest.raises(PageHeld):
        PageWriter(run_dir, KEY_ID, boot)
    writer.close()
    PageWriter(run_dir, KEY_ID, boot).close()


def test_next_writer(run_dir: Path, boot: bytes, writer: PageWriter, reader: PageReader) -> None:
    """Whoever takes over begins without a lease, and finds everything else as it was left."""
    writer.flip(2)
    writer.publish(AT)
    writer.note_inc(b"i" * 16)
    writer.grant(boottime_ns() + 10**9)
    writer.close()
    with PageWriter(run_dir, KEY_ID, boot) as following:
        assert reader.lease_until() == 0
        assert reader.is_current()
        assert (following.gen, following.position(), following.inc) == (2, AT, b"i" * 16)


@pytest.mark.parametrize("other", ["boot", "key", "format", "size"])
def test_foreign_page(run_dir: Path, boot: bytes, writer: PageWriter, other: str) -> None:
    """A page of another boot, key or format is not believed; a writer replaces it, and the old one stays as it is."""
    writer.grant(boottime_ns() + 10**9)
    writer.publish(AT)
    old = PageReader(run_dir, KEY_ID, boot)
    if other == "format":
        writer.slots[Slot.FORMAT] = 99
    if other == "size":
        (run_dir / PAGE_NAME).write_bytes(b"short")
    writer.close()
    here = b"another boot...." if other == "boot" else boot
    key_id = b"key id 2" if other == "key" else KEY_ID
    with pytest.raises(Unproven):
        PageReader(run_dir, key_id, here)
    with PageWriter(run_dir, key_id, here) as fresh:
        assert fresh.position() is None
        assert (fresh.gen, fresh.inc) == (0, None)
        assert PageReader(run_dir, key_id, here).lease_until() == 0
        assert not old.is_current()


def test_cleaned_up(run_dir: Path, boot: bytes, writer: PageWriter, reader: PageReader) -> None:
    """Reader and writer notice when somebody removes the page under them."""
    assert reader.is_current()
    assert writer.is_current()
    (run_dir / PAGE_NAME).unlink()
    assert not reader.is_current()
    assert not writer.is_current()


def test_zero_lease(run_dir: Path, boot: bytes, writer: PageWriter, reader: PageReader) -> None:
    """Anybody may end the lease, with the lock held by another, and where there is no page at all."""
    writer.grant(boottime_ns() + 10**9)
    zero_lease(run_dir)
    assert reader.lease_until() == 0
    (run_dir / PAGE_NAME).unlink()
    zero_lease(run_dir)


def test_writer_stands_still(writer: PageWriter, reader: PageReader) -> None:
    """A writer that was stopped between two stores leaves no position to read; the next one mends the page."""
    writer.publish(AT)
    writer.slots[Slot.SEQLOCK] += 1
    with pytest.raises(Unproven):
        reader.position()
    assert writer.position() is None
    writer.publish(Position(42, AT.hash))
    assert reader.position() == writer.position() == Position(42, AT.hash)


def test_auth_seq_rises(writer: PageWriter, reader: PageReader) -> None:
    """auth_seq never goes back."""
    writer.set_auth_seq(9)
    writer.set_auth_seq(4)
    assert reader.auth_seq() == 9


def test_a_load_sets_auth_seq_back(writer: PageWriter, reader: PageReader) -> None:
    """What it stood at may be of a lost tail, at which no key cache can arrive."""
    writer.set_auth_seq(9)
    writer.show(2, Position(5, b"h" * 32))
    assert reader.auth_seq() == 5


def test_machine() -> None:
    """This machine keeps the order of stores, and tells one boot from another."""
    assert store_order_is_kept()
    assert boot_id() == boot_id()
    assert len(boot_id()) == 16


def test_clock() -> None:
    """Leases are counted on CLOCK_BOOTTIME: not on the wall, which is set, and not on a clock that sleeps."""
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert before <= boottime_ns() <= time.clock_gettime_ns(time.CLOCK_BOOTTIME)
