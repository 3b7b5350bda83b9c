"""How long a silent connection may stay depends on how many others there are."""

from collections.abc import Callable
from typing import Any, cast

from lostid.api.deadlines import BODY_S, HEAD_S, IDLE_S, Stage, Sweeper, Timed, deadlines


def test_crowded() -> None:
    """Where places become few, silence costs its place sooner; a body that is under way keeps its time."""
    roomy, crowded = deadlines(80, 100), deadlines(81, 100)
    assert (roomy[Stage.HEAD], roomy[Stage.BODY], roomy[Stage.BETWEEN]) == (HEAD_S, BODY_S, IDLE_S)
    assert crowded[Stage.HEAD] < roomy[Stage.HEAD]
    assert crowded[Stage.BETWEEN] < roomy[Stage.BETWEEN]
    assert crowded[Stage.BODY] == roomy[Stage.BODY]
    assert set(roomy) == set(crowded) == set(Stage)


class Loop:
    """Time that stands until somebody takes the next step."""

    def __init__(self) -> None:
        self.now = 0.0
        self.next: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, act: Callable[..., None], *arguments: Any) -> None:
        self.next.append((self.now + delay, lambda: act(*arguments)))

    def step(self) -> None:
        self.now, act = self.next.pop(0)
        act()


class Silent:
    """A connection that is overdue, and its own transport."""

    def __init__(self, loop: Loop, connections: set[Timed]) -> None:
        self.loop, self.transport, self._connections = loop, self, connections
        connections.add(cast(Timed, self))

    def overdue(self, now: float) -> bool:
        return now > 0

    def abort(self) -> None:
        self._connections.discard(cast(Timed, self))


def test_however_many_are_overdue() -> None:
    """All of them end within half a second, and not in one turn of the loop."""
    loop, connections = Loop(), set[Timed]()
    for _ in range(2_500):
        Silent(loop, connections)
    Sweeper().watch(next(iter(connections)), connections)
    while connections:
        before = len(connections)
        loop.step()
        assert 10 <= before - len(connections) <= 20
    assert loop.now < 0.56
    assert not loop.next
