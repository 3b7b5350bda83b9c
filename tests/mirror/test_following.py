"""How a mirror follows: its flow driven by hand, the registry's answers scripted, nothing on any line."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from lostid_client import Document
from lostid_client.flow import LineBroken, Pause, Reply, Send
from lostid_client.mirror_flow import Follower
from tests.clients.desks import TODAY, card
from tests.mirror.making import Hands, Registry

SNAPSHOT, CHANGES, KEYS = "/v1/mirror/snapshot", "/v1/mirror/changes", "/.well-known/jwks.json"


class Script:
    """A registry that a follower asks; `replies` holds what is answered instead, once each, by path."""

    def __init__(self, *documents: Document, max_age_s: float = 30.0) -> None:
        self.registry = Registry()
        self.documents = documents
        self.hands = Hands(max_age_s)
        self.published = 0
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self.pauses: list[float] = []
        self.replies: dict[str, list[Reply | LineBroken | Callable[[dict[str, str]], Reply]]] = {}
        self.follower = Follower(self.hands.state, None, self.clock, lambda: TODAY, self._count)
        self.flow = self.follower.follow()
        self.step: Any = next(self.flow)

    def clock(self) -> float:
        return self.hands.now

    def _count(self) -> None:
        self.published += 1

    def turn(self, times: int = 1) -> None:
        """Answer so many questions."""
        for _ in range(times):
            while isinstance(self.step, Pause):
                self.pauses.append(self.step.seconds)
                self.hands.now += self.step.seconds
                self.step = self.flow.send(None)
            send: Send = self.step
            params = dict(send.params or {})
            self.asked.append((send.path, params))
            scripted = self.replies.get(send.path)
            reply = scripted.pop(0) if scripted else self._reply
            if isinstance(reply, LineBroken):
                self.step = self.flow.throw(reply)
            else:
                self.step = self.flow.send(reply({**params, "path": send.path}) if callable(reply) else reply)

    def _reply(self, asked: dict[str, str]) -> Reply:
        if asked["path"] == KEYS:
            return Reply(200, {}, self.registry.jwks)
        if asked["path"] == SNAPSHOT:
            return Reply(200, {}, {}, self.registry.snapshot(*self.documents))
        return self.changes()(asked)

    def changes(self, *documents: Document, **more: Any) -> Callable[[dict[str, str]], Reply]:
        def reply(asked: dict[str, str]) -> Reply:
            copy = self.follower.copy
            assert copy is not None
            assert asked["since"] == str(copy.seq)
            return Reply(200, {}, self.registry.changes(copy, *documents, nonce=asked["nonce"], **more))

        return reply

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]


def problem(status: int, code: str, **headers: str) -> Reply:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, told, {"code": code}, json.dumps({"code": code}).encode())


def test_from_nothing_to_clear() -> None:
    """Keys, snapshot, changes; then one question after the other, each with a nonce of its own, that waits."""
    script = Script()
    script.turn(5)
    assert script.paths == [KEYS, SNAPSHOT, CHANGES, CHANGES, CHANGES]
    assert [params["wait"] for _, params in script.asked[2:]] == ["0", "10", "10"]
    assert len({params["nonce"] for _, params in script.asked[2:]}) == 3
    assert (script.published, script.pauses) == (3, [])
    assert script.hands.state.check(card()).clear


@pytest.mark.parametrize(("max_age_s", "wait"), [(2.0, "1"), (9.0, "3"), (3600.0, "20")])
def test_waits_no_longer_than_its_age_allows(max_age_s: float, wait: str) -> None:
    """A quiet registry says nothing for `wait` seconds: a third of what the answers may be old."""
    script = Script(max_age_s=max_age_s)
    script.turn(4)
    assert script.asked[-1][1]["wait"] == wait


def test_nothing_is_clear_before_all_is_heard() -> None:
    """`more`: the snapshot lags, and its changes come in parts. No moment is vouched for before the last."""
    script, late = Script(), card()
    script.replies[CHANGES] = [script.changes(card(), more=True), script.changes(late)]
    script.turn(3)
    assert (script.published, script.hands.state.check(card()).why) == (0, "not_loaded")
    script.turn()
    assert script.asked[-1][1]["wait"] == "0"
    assert (script.published, script.hands.state.check(late).why) == (1, "record")


def test_an_outage_ages_the_answer() -> None:
    """Nothing is forgotten, nothing is vouched for: clear until the limit, then ask. The pauses grow, to a bound."""
    script = Script()
    script.turn(3)
    script.replies[CHANGES] = [LineBroken("unreachable") for _ in range(12)]
    script.turn(5)
    assert script.hands.state.check(card()).clear
    assert script.hands.state.problem == "unreachable"
    script.turn(7)
    assert script.hands.state.check(card()).why == "too_old"
    assert max(script.pauses) <= 6.0
    assert script.pauses[0] < 0.25
    script.turn()
    assert script.hands.state.check(card()).clear
    assert script.hands.state.problem is None


def test_obeys_retry_after() -> None:
    """A snapshot that is being made is fetched when the server says so."""
    script = Script()
    script.replies[SNAPSHOT] = [problem(503, "starting", Retry_After="3")]
    script.turn(4)
    assert script.paths == [KEYS, SNAPSHOT, SNAPSHOT, CHANGES]
    assert script.pauses == [pytest.approx(3.0, rel=0.21)]


def test_another_chain() -> None:
    """The changes do not continue what is held: a new snapshot, and meanwhile the old answers of their old moment."""
    script = Script()
    script.turn(3)
    script.replies[CHANGES] = [script.changes(origin=None)]
    script.turn()
    assert script.hands.state.check(card()).clear
    script.turn(2)
    assert script.paths[-2:] == [SNAPSHOT, CHANGES]
    assert (script.published, len(script.pauses)) == (2, 1)


def test_a_revoked_key_ends_the_answers() -> None:
    """At once, not at the age limit; and what it held is gone."""
    script = Script()
    script.turn(3)
    script.replies[CHANGES] = [problem(401, "key_revoked")]
    script.turn()
    assert script.hands.state.check(card()).why == "not_authorised"
    assert script.follower.copy is None


def test_a_new_signing_key() -> None:
    """An unknown signature changes nothing, and the keys are fetched again before the next question."""
    script = Script()
    script.turn(3)
    script.registry = Registry()
    script.turn(4)
    assert script.paths[-3:] == [KEYS, CHANGES, CHANGES]
    assert script.hands.state.problem is None


def test_a_full_filter_is_replaced() -> None:
    """Not at once: a registry that hands out the same snapshot again is left alone for an hour."""
    script = Script()
    script.turn(3)
    copy = script.follower.copy
    assert copy is not None
    copy.documents = copy.capacity + 1
    script.turn(2)
    assert script.paths.count(SNAPSHOT) == 1
    script.hands.now += 3_601
    script.turn(2)
    assert script.paths.count(SNAPSHOT) == 2


def broken_after(script: Script, taken: int) -> None:
    """The snapshot is asked for; all but its last `taken` bytes come, and the line breaks."""
    send: Send = script.step
    assert send.path == SNAPSHOT
    assert send.received is not None
    send.received.extend(script.registry.snapshot(*script.documents)[:-taken])
    script.step = script.flow.throw(LineBroken("timeout"))


def resume(script: Script, sent: Callable[[bytes], bytes]) -> Mapping[str, str]:
    """What is asked for next; the answer is `sent` of the whole."""
    while isinstance(script.step, Pause):
        script.step = script.flow.send(None)
    send: Send = script.step
    assert send.path == SNAPSHOT
    script.step = script.flow.send(Reply(200, {}, {}, sent(script.registry.snapshot(*script.documents))))
    return dict(send.params or {})


def rest(skipped: int) -> Callable[[bytes], bytes]:
    def of(whole: bytes) -> bytes:
        line, ended, bits = whole.partition(b"\n")
        return line + ended + bits[skipped:]

    return of


def test_goes_on_with_a_snapshot() -> None:
    """After a break, and another one, only what is missing is asked for; put together it is as good as any."""
    lost = card()
    script = Script(lost)
    script.turn()
    bits = script.registry.snapshot(lost).partition(b"\n")[2]
    broken_after(script, 50)
    while isinstance(script.step, Pause):
        script.step = script.flow.send(None)
    assert dict(script.step.params or {})["from"] == str(len(bits) - 50)
    script.step.received.extend(rest(len(bits) - 50)(script.registry.snapshot(lost))[:-20])
    script.step = script.flow.throw(LineBroken("unreachable"))
    asked = resume(script, rest(len(bits) - 20))
    assert asked == {"from": str(len(bits) - 20), "sha256": hashlib.sha256(bits).hexdigest()}
    script.turn()
    assert script.published == 1
    assert script.hands.state.check(lost).why == "record"
    assert script.hands.state.check(card()).clear


def test_another_snapshot_meanwhile() -> None:
    """The registry has made a new one: it comes whole, and nothing of the old one is in it."""
    script = Script(card())
    script.turn()
    broken_after(script, 50)
    script.documents = (lost := card(),)
    resume(script, lambda whole: whole)
    script.turn()
    assert script.published == 1
    assert script.hands.state.check(lost).why == "record"


def test_a_part_that_does_not_fit() -> None:
    """A registry that sends other bytes than those that are missing is refused, and the next one is taken whole."""
    script = Script(card())
    script.turn()
    broken_after(script, 50)
    resume(script, lambda whole: whole)
    assert script.published == 0
    assert "not whole" in str(script.hands.state.problem)
    script.turn()  # its keys
    assert resume(script, lambda whole: whole) == {}
    script.turn()
    assert script.published == 1
