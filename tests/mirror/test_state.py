"""When a mirror may say clear: signed statements read by hand, and every way to lie to it that we could think of."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from lostid.domain.keys import mirror_check
from lostid_client import Document, LostidError, MirrorRefused
from lostid_client.mirror_state import Copy, take
from tests.clients.desks import NEW, TODAY, card
from tests.mirror.making import AT, KEYRING, MIRROR, Hands, Registry

NONCE = "n" * 20
OTHER = "key_" + "2" * 32


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry()


@pytest.fixture
def hands() -> Hands:
    return Hands()


def followed(hands: Hands, registry: Registry, *documents: Document, sent: float = 1000.0, **more: Any) -> Copy:
    """A mirror with this snapshot and one statement."""
    copy = hands.state.load(registry.snapshot(*documents), registry.jwks, hands.now)
    hear(hands, registry, copy, sent=sent, **more)
    return copy


def hear(hands: Hands, registry: Registry, copy: Copy, *documents: Document, sent: float, **more: Any) -> None:
    statement = hands.state.read(registry.changes(copy, *documents, **more), registry.jwks, copy, NONCE)
    assert statement is not None
    take(copy, statement)
    hands.state.publish(copy, statement, sent, TODAY)


def test_clear_or_ask(hands: Hands, registry: Registry) -> None:
    """A number without a record is clear as of the statement; one with a record is asked about, whichever the card."""
    lost = card()
    assert str(hands.state.check(lost)) == "ask"
    assert hands.state.check(lost).why == "not_loaded"
    followed(hands, registry, lost)
    assert hands.state.check(card()) == (True, AT, 0.0, "")
    assert str(hands.state.check(card())) == f"clear as of {AT}"
    for same in (
        lost,
        Document(lost.type, lost.number, valid_from=NEW),
        Document(lost.type, f"{lost.number[:6]} {lost.number[6:]}"),
    ):
        assert (hands.state.check(same).clear, hands.state.check(same).why) == (False, "record")


def test_a_refused_number_is_not_clear(hands: Hands, registry: Registry) -> None:
    """What the registry would refuse gets its code; nothing is folded into a number that is clear."""
    followed(hands, registry)
    found = {
        Document("cn.resident-id", "99000019850612002X"): "check_digit",
        Document("cn.resident-id", "９９0000198506120022"): "characters",
        Document("cn.passport", "990000198506120022"): "characters",
        Document("no.such-type", "1"): "type_unknown",
    }
    assert {document: hands.state.check(document).why for document in found} == found


def test_age(hands: Hands, registry: Registry) -> None:
    """Counted from before the question, plus what the registry says it waited, on the mirror's clock alone."""
    hands.now = 1025.0
    followed(hands, registry, sent=1000.0, waited_ms=20_000)
    answer = hands.state.check(card())
    assert answer.clear
    assert answer.age_s == pytest.approx(5.0 + 0.2)  # 20 s less 1 %: the two clocks may differ
    hands.now = 1049.7
    assert hands.state.check(card()).clear
    hands.now = 1049.9
    answer = hands.state.check(card())
    assert (answer.clear, answer.as_of, answer.why) == (False, AT, "too_old")
    assert hands.state.age_s == pytest.approx(30.1)


def test_changes_are_in_before_they_are_vouched_for(hands: Hands, registry: Registry) -> None:
    """A document of a later entry is asked about from its statement on, and the old ones stay."""
    first, second = card(), card()
    copy = followed(hands, registry, first)
    assert hands.state.check(second).clear
    hear(hands, registry, copy, second, sent=1001.0)
    assert [hands.state.check(each).why for each in (first, second)] == ["record", "record"]
    assert copy.documents == 2


def test_another_chain_needs_a_new_snapshot(hands: Hands, registry: Registry) -> None:
    """A failover that lost entries, or a registry that does not reach as far: nothing of it is added."""
    copy = followed(hands, registry)
    for origin in ("cc" * 32, None):
        assert hands.state.read(registry.changes(copy, card(), origin=origin), registry.jwks, copy, NONCE) is None
    assert copy.seq == 10


LIES: dict[str, dict[str, Any]] = {
    "a replayed answer": {"nonce": "m" * 20},
    "another mirror's": {"mirror": OTHER},
    "of another stretch": {"since": 9},
    "of before the last one": {"as_of": "2026-11-22T20:59:59.999Z"},
    "made under another key": {"key_check": mirror_check(KEYRING.mirror_key(OTHER))},
    "of an entry before ours": {"seq": 9},
    "with other changes": {"sha256": "00" * 32},
    "without a moment": {"waited_ms": None},
}


@pytest.mark.parametrize("lie", LIES)
def test_statements_that_are_not_believed(hands: Hands, registry: Registry, lie: str) -> None:
    """Signed, and still not for this mirror now."""
    copy = followed(hands, registry)
    with pytest.raises(MirrorRefused):
        hands.state.read(registry.changes(copy, **LIES[lie]), registry.jwks, copy, NONCE)


def test_signatures(hands: Hands, registry: Registry) -> None:
    """Somebody else's signature, an altered statement, a snapshot in its place: refused."""
    copy, stranger = followed(hands, registry), Registry()
    body = registry.changes(copy)
    header, claims, signature = body["statement"].split(".")
    told = json.loads(base64.urlsafe_b64decode(claims + "=="))
    altered = base64.urlsafe_b64encode(json.dumps({**told, "waited_ms": 9_000}).encode()).decode().rstrip("=")
    lies = [
        stranger.changes(copy),
        {**body, "statement": f"{header}.{altered}.{signature}"},
        {**body, "statement": registry.snapshot().split(b"\n")[0].decode()},
        {},
    ]
    for lie in lies:
        with pytest.raises(MirrorRefused):
            hands.state.read(lie, registry.jwks, copy, NONCE)


def test_snapshots_that_are_not_believed(hands: Hands, registry: Registry) -> None:
    """Altered, cut short, unsigned, beyond all size, or under a secret that is not this mirror's."""
    good = registry.snapshot(card())
    bits = len(good) - len(good.split(b"\n", 1)[1])
    flipped = bytearray(good)
    flipped[bits + 100] ^= 1
    lies: list[bytes] = [
        bytes(flipped),
        good[:-8],
        good[bits:],
        b"",
        Registry().snapshot(),
        registry.snapshot(bits_per_slice=1 << 50),
        registry.snapshot(slices=0),
        registry.snapshot(mirror=OTHER),
        registry.snapshot(mirror=OTHER, key_check=mirror_check(KEYRING.mirror_key(MIRROR))),
    ]
    for lie in lies:
        with pytest.raises(MirrorRefused):
            hands.state.load(lie, registry.jwks, 0.0)
    assert hands.state.load(good, registry.jwks, 0.0).mirror == MIRROR
    with pytest.raises(MirrorRefused, match="secret"):
        Hands(mirror=OTHER).state.load(good, registry.jwks, 0.0)


@pytest.mark.parametrize(
    "wrong", [lambda: Hands(max_age_s=1.0), lambda: Hands(max_age_s=-1.0)], ids=["too short", "negative"]
)
def test_limits_that_make_no_sense(wrong: Callable[[], Hands]) -> None:
    with pytest.raises(LostidError):
        wrong()
