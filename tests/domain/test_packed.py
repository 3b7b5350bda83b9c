"""The packed record says what the record says, and nothing but what was packed for its key."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lostid.domain import packed as room
from lostid.domain.covers import Cover, CoverKind, Effect
from lostid.domain.instance import Instance
from lostid.domain.packed import Packed, PackedCover, TamperedRecord, pack, unpack
from lostid.domain.record import NOTHING, Record, fold
from lostid.domain.status import decide
from tests.domain.drawing import KEY, POINTS, SMALL_INSTANCES, TAGS, effects, small_records
from tests.domain.test_status import INSTANCES, RECORDS

TAG_KEY = bytes(range(32))
SPECIMENS = json.loads((Path(__file__).parent / "specimens" / "packed-v0.json").read_text())
SEQS = st.one_of(st.integers(1, 300), st.integers(0, 2**63))


def value_of(record: Record, seq: int = 1) -> bytes:
    value = pack(record, seq, KEY, TAG_KEY)
    assert value is not None
    return value


def one(kind: CoverKind, *, final: bool = False, watermark: int | None = None, tag: bytes | None = None) -> Record:
    return Record((("rpt", Cover(kind, watermark, tag, final, False, "lost", 0)),))


@settings(max_examples=200)
@given(RECORDS.filter(bool), INSTANCES, SEQS)
def test_same_answer(record: Record, instance: Instance, seq: int) -> None:
    """The packed record gives every card the status that the record gives it, and keeps the seq."""
    unpacked = unpack(value_of(record, seq), KEY, TAG_KEY)
    assert decide(unpacked, instance) == decide(record, instance)
    assert unpacked.seq == seq


def test_small_world() -> None:
    """So it is for every pair of covers and every instance of a small world."""
    for record in small_records():
        unpacked = unpack(value_of(record), KEY, TAG_KEY)
        for instance in SMALL_INSTANCES:
            assert decide(unpacked, instance) == decide(record, instance)


@settings(max_examples=200)
@given(effects(), INSTANCES)
def test_folded(drawn: list[Effect], instance: Instance) -> None:
    """So it is for whatever reports and withdrawals may leave; nothing in force is packed as nothing."""
    record = fold(drawn)
    value = pack(record, 7, KEY, TAG_KEY)
    assert (value is None) == (not record)
    if value is not None:
        assert decide(unpack(value, KEY, TAG_KEY), instance) == decide(record, instance)


@given(st.data(), RECORDS.filter(bool))
def test_order(data: st.DataObject, record: Record) -> None:
    """The same covers give the same bytes, in whatever order their reports came."""
    shuffled = Record(tuple(data.draw(st.permutations(record.covers))))
    assert value_of(shuffled) == value_of(record)


@settings(max_examples=30)
@given(RECORDS.filter(bool), SEQS)
def test_flipped(record: Record, seq: int) -> None:
    """Every flipped bit is found, and every byte that is missing or too many."""
    value = value_of(record, seq)
    for bit in range(8 * len(value)):
        flipped = bytearray(value)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(TamperedRecord):
            unpack(bytes(flipped), KEY, TAG_KEY)
    for wrong in [*(value[:size] for size in range(len(value))), value + b"\0", value[1:], value * 2]:
        with pytest.raises(TamperedRecord):
            unpack(wrong, KEY, TAG_KEY)


def test_spared_order() -> None:
    """The good serials of one cover give the same bytes in whatever order they were named."""
    cover = Cover(CoverKind.ALL_BUT, None, b"good one", True, True, "replaced", 0)
    both = [replace(cover, also_spared=tuple(spared)) for spared in (TAGS, TAGS[::-1])]
    assert len({value_of(Record((("rpt", spared),))) for spared in both}) == 1


def test_bound() -> None:
    """A record is good for its own document key and tag key only."""
    value = value_of(one(CoverKind.ALL))
    for key, tag_key in ((b"k" * 16, TAG_KEY), (KEY, b"t" * 32)):
        with pytest.raises(TamperedRecord):
            unpack(value, key, tag_key)


@given(st.binary(max_size=60))
def test_foreign(value: bytes) -> None:
    """Bytes that nobody packed are refused."""
    with pytest.raises(TamperedRecord):
        unpack(value, KEY, TAG_KEY)


@pytest.mark.parametrize(
    "body", ["6001", "8001", "010301010101010101", "01430101010101010101" + "01", "0005" + "00", "01", ""]
)
def test_later_format(body: str) -> None:
    """A format, a kind or a length that is not known here is refused though its tag is right."""
    raw = bytes.fromhex(body)
    with pytest.raises(TamperedRecord):
        unpack(raw + room._tag(TAG_KEY, KEY, raw), KEY, TAG_KEY)


def test_size() -> None:
    """One watermark and a seq below 2 million take 14 bytes."""
    assert len(value_of(one(CoverKind.THROUGH, watermark=12_843), 2_000_000)) == 14
    assert len(value_of(one(CoverKind.ALL, final=True), 100)) == 10


@pytest.mark.parametrize("count", [1, 2, 3, 4, 127, 128, 1000])
def test_many_serials(count: int) -> None:
    """However many serials are reported on one number, all of them are kept."""
    tags = [number.to_bytes(8, "big") for number in range(count)]
    record = Record(tuple(cover for tag in tags for cover in one(CoverKind.ONLY, tag=tag).covers))
    unpacked = unpack(value_of(record), KEY, TAG_KEY)
    said = {decide(unpacked, Instance(serial="3301000000001", serial_tag=tag)) for tag in tags}
    assert said == {"reported"}
    assert decide(unpacked, Instance(serial="3301000000001", serial_tag=b"another!")) == "clear"


def test_nothing() -> None:
    """Where nothing is in force, there is nothing to keep."""
    assert pack(NOTHING, 1, KEY, TAG_KEY) is None


@pytest.mark.parametrize("line", SPECIMENS, ids=lambda line: line["what"])
def test_specimen(line: dict[str, object]) -> None:
    """Records that were stored in format 0 are read as they were meant, and written as they were."""
    value = bytes.fromhex(str(line["value"]))
    unpacked = unpack(value, KEY, TAG_KEY)
    assert unpacked == meant(line)
    covers = (
        Cover(c.kind, c.watermark, c.serial_tag, c.final, False, "lost", 0, c.also_spared) for c in unpacked.reaches
    )
    assert value_of(Record(tuple(("rpt", cover) for cover in covers)), unpacked.seq) == value


def meant(line: dict[str, object]) -> Packed:
    reaches = [
        PackedCover(
            CoverKind[cover["kind"]],
            cover["final"],
            cover.get("watermark"),
            bytes.fromhex(cover["tag"]) if "tag" in cover else None,
            tuple(bytes.fromhex(tag) for tag in cover.get("also_spared", [])),
        )
        for cover in line["covers"]  # type: ignore[attr-defined]
    ]
    return Packed(tuple(reaches), line["seq"])  # type: ignore[arg-type]


def test_points() -> None:
    """The small world of these tests lies at the low end; watermarks reach to 16 bits."""
    assert max(POINTS) < 0xFFFF
    assert len(set(TAGS)) == 3
    for watermark in (0, 1, 255, 256, 0xFFFF):
        assert (
            unpack(value_of(one(CoverKind.THROUGH, watermark=watermark)), KEY, TAG_KEY).reaches[0].watermark
            == watermark
        )
