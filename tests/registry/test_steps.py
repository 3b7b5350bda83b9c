"""The scripts' conditions, on the real server."""

import random
from collections.abc import Callable

import pytest
import redis

from lostid.registry.buckets import Layout
from lostid.registry.filling import Filler, Overtaken
from lostid.registry.head import read_head
from lostid.registry.keys import CHAIN, CHAIN_KEPT, DOUBT, HEAD
from lostid.registry.scripts import Name
from lostid.registry.writer import Writer, request_rebuild
from tests.registry.making import LAYOUT, at, everything, filled, hash_of, key, line, stored, value


def test_append(writer: Writer) -> None:
    """An entry takes every record it touches, its chain line and the head along."""
    filled(writer, at(1), [1])
    taken = writer.append([line(2, {1: None, 2: value(2, 2), 3: value(3, 2)})], LAYOUT)
    head = writer.head()
    assert (taken, head.position, head.count) == (1, at(2), 2)
    assert (stored(writer, 1), stored(writer, 2), stored(writer, 3)) == (None, value(2, 2), value(3, 2))
    assert writer.client.hgetall(CHAIN) == {b"1": hash_of(1), b"2": hash_of(2)}


def test_model(writer: Writer) -> None:
    """Whatever is appended, the registry holds what a dictionary would, and counts it right."""
    filled(writer, at(0))
    choose, model = random.Random(5), dict[int, bytes]()
    for start in range(1, 200, 10):
        lines = []
        for seq in range(start, start + 10):
            numbers = choose.sample(range(60), 3)
            lines.append(line(seq, {n: value(n, seq) if choose.random() < 0.6 else None for n in numbers}))
            for n, record in zip(numbers, lines[-1].records.values(), strict=True):
                model.pop(n, None)
                if record is not None:
                    model[n] = record
        assert writer.append(lines, LAYOUT) == 10
        assert writer.head().count == len(model)
    assert {n: got for n in range(60) if (got := stored(writer, n)) is not None} == model


@pytest.mark.parametrize(
    ("seq", "branch", "bits"),
    [(2, "", 8), (4, "", 8), (3, "other", 8), (3, "", 9)],
    ids=["already there", "a gap", "another chain", "another layout"],
)
def test_append_refuses(writer: Writer, seq: int, branch: str, bits: int) -> None:
    """What does not continue the head changes nothing."""
    filled(writer, at(2), [1])
    before = everything(writer)
    assert writer.append([line(seq, {1: None, 2: value(2, seq)}, branch)], Layout(bits)) == 0
    assert everything(writer) == before


def test_append_foreign(writer: Writer) -> None:
    """Where somebody else's key stands in the way nothing is written, not even the records before it."""
    filled(writer, at(1))
    in_the_way = LAYOUT.bucket(key(2))
    writer.client.set(in_the_way, "foreign")
    before = everything(writer)
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        writer.append([line(2, {1: value(1, 2), 2: value(2, 2), 3: None})], LAYOUT)
    assert everything(writer) == before


def test_append_part(writer: Writer) -> None:
    """Of several entries those that fit are taken, and the number says how many."""
    filled(writer, at(1))
    assert writer.append([line(2, {}), line(3, {}), line(4, {}, "other"), line(5, {}, "other")], LAYOUT) == 2
    assert writer.head().position == at(3)


def test_chain_is_trimmed(writer: Writer) -> None:
    """The chain keeps the last 100,000 entries."""
    filled(writer, at(CHAIN_KEPT))
    writer.client.hset(CHAIN, mapping={"1": b"1", "2": b"2"})
    writer.append([line(CHAIN_KEPT + 1, {})], LAYOUT)
    assert sorted(writer.client.hkeys(CHAIN)) == [b"100000", b"100001", b"2"]


def test_scripts_forgotten(writer: Writer) -> None:
    """A server that has forgotten the scripts is told them again, in the middle of everything."""
    writer.client.script_flush()
    filled(writer, at(0), [1])
    writer.client.script_flush()
    assert writer.append([line(seq, {1: value(1, seq)}) for seq in (1, 2, 3)], LAYOUT) == 3
    writer.client.script_flush()
    assert not writer.repair(at(3), LAYOUT, key(1), value(1, 3))


def test_wipe(writer: Writer) -> None:
    """Of two relays that decide on the same head one wipes; the head and every proof are gone with it."""
    filled(writer, at(1), [1])
    writer.client.sadd(DOUBT, key(1))
    seen = writer.head()
    first, second = writer.wipe(seen, LAYOUT, 7), writer.wipe(seen, LAYOUT, 7)
    head = writer.head()
    assert first is not None
    assert second is None
    assert (head.position, head.fill, head.phase, head.total) == (None, first, "filling", 7)
    assert not writer.client.exists(CHAIN, DOUBT)


def test_wipe_foreign(writer: Writer) -> None:
    """A key of another kind under our name is an empty registry to everybody."""
    writer.client.set(HEAD, "foreign")
    writer.client.set(CHAIN, "foreign")
    assert writer.head().phase == "empty"
    filled(writer, at(1), [1])
    assert writer.head().position == at(1)


def test_second_wipe(writer: Writer) -> None:
    """After a second wipe nothing of the first fill is written any more: no record, no sweep, no head."""
    first = Filler(writer.client, writer.wipe(writer.head(), LAYOUT, 0) or "", LAYOUT)
    first.fill([(1, [(key(1), value(1, 1))])])
    assert writer.wipe(writer.head(), LAYOUT, 0)
    before = everything(writer)
    with pytest.raises(Overtaken):
        first.fill([(2, [(key(2), value(2, 1))])])
    with pytest.raises(Overtaken):
        first.sweep()
    with pytest.raises(Overtaken):
        first.finish(at(1))
    assert everything(writer) == before


@pytest.mark.parametrize("last", ["sweep", "fill", "finish"])
def test_lost_step(writer: Writer, last: str) -> None:
    """A server that has lost a step of the fill (a failover) takes none after it: the head never stands over a gap."""
    filler = Filler(writer.client, writer.wipe(writer.head(), LAYOUT, 0) or "", LAYOUT)
    filler.fill([(1, [(key(1), value(1, 1))])])
    replica = {name: writer.client.dump(name) or b"" for name in writer.client.keys("*")}
    filler.fill([(2, [(key(2), value(2, 1))])])
    for name, dump in replica.items():
        writer.client.restore(name, 0, dump, replace=True)
    writer.client.delete(LAYOUT.bucket(key(2)))
    before = everything(writer)
    steps: dict[str, Callable[[], None]] = {
        "sweep": filler.sweep,
        "fill": lambda: filler.fill([(3, [(key(3), value(3, 1))])]),
        "finish": lambda: filler.finish(at(1)),
    }
    with pytest.raises(Overtaken):
        steps[last]()
    assert everything(writer) == before


def test_append_while_filling(writer: Writer) -> None:
    """While the registry is being filled nothing is appended to it."""
    assert writer.wipe(writer.head(), LAYOUT, 0)
    before = everything(writer)
    assert writer.append([line(1, {1: value(1, 1)})], LAYOUT) == 0
    assert everything(writer) == before


def test_fill(writer: Writer) -> None:
    """A fill over the rests of an old registry ends as if there had never been one, layout and count included."""
    filled(writer, at(3), range(500, 900))
    narrow = everything(writer)
    filled(writer, at(9), range(3_000), Layout(11))
    assert (writer.head().count, writer.head().bits) == (3_000, 11)
    assert all(stored(writer, number) == value(number, 9) for number in range(0, 3_000, 37))
    filled(writer, at(3), range(500, 900))
    assert everything(writer) == narrow


def test_many_in_a_bucket(writer: Writer) -> None:
    """A bucket of any size is filled: its records may need several steps."""
    filled(writer, at(1), range(5_000), Layout(0))
    assert writer.head().count == 5_000
    assert stored(writer, 4_999) == value(4_999, 1)


def test_repair(writer: Writer) -> None:
    """A damaged record becomes what the ledger says, and the count follows; at another head nothing is touched."""
    filled(writer, at(2), [1, 2])
    bucket, field = LAYOUT.bucket(key(1)), LAYOUT.field(key(1))
    writer.client.hset(bucket, field, b"damaged")
    before = everything(writer)
    assert not writer.repair(at(1), LAYOUT, key(1), value(1, 2))
    assert everything(writer) == before
    assert writer.repair(at(2), LAYOUT, key(1), value(1, 2))
    assert not writer.repair(at(2), LAYOUT, key(1), value(1, 2))
    assert writer.repair(at(2), LAYOUT, key(2), None)
    assert writer.repair(at(2), LAYOUT, key(3), value(3, 2))
    assert [stored(writer, n) for n in (1, 2, 3)] == [value(1, 2), None, value(3, 2)]
    assert (writer.head().count, writer.head().repaired) == (2, 3)


def test_doubts_are_bounded(writer: Writer) -> None:
    """However many records are doubted, no more than the limit wait."""
    for start in range(0, 60, 20):
        writer.run(Name.DOUBT, [DOUBT], [50, *(key(n) for n in range(start, start + 20))])
    assert writer.client.scard(DOUBT) == 50
    assert len(writer.doubted(30)) == 30
    assert len(writer.doubted(30)) == 20


def test_request_rebuild(writer: Writer) -> None:
    """A rebuild on demand takes the head away from a registry in service, and from a filler at work."""
    filled(writer, at(1), [1])
    request_rebuild(writer.client)
    assert read_head(writer.client).phase == "empty"
    filler = Filler(writer.client, writer.wipe(writer.head(), LAYOUT, 0) or "", LAYOUT)
    request_rebuild(writer.client)
    with pytest.raises(Overtaken):
        filler.finish(at(1))
