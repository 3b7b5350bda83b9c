"""The gate: who lined up is served or refused, once; no line stands still; the loop goes on turning."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from lostid.api.gate import Gate


@dataclass
class Request:
    """A ticket that takes what it is told to."""

    tenant: str
    seconds: float = 0.0
    told: list[str] = field(default_factory=list)
    ends: "asyncio.Future[None] | None" = None

    def serve(self) -> "asyncio.Future[None] | None":
        self.told.append("served")
        until = time.thread_time() + self.seconds
        while time.thread_time() < until:
            pass
        return self.ends

    def refuse(self) -> None:
        self.told.append("refused")


class Wire:
    """A transport that is read from, or not."""

    reading = True

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


def gate() -> Gate:
    return Gate(lambda authorization: (authorization or b"").decode())


async def until(condition: Callable[[], bool], pause: float = 0.0) -> None:
    """Turns of the loop, until it is so."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(pause)


async def settled(*requests: Request) -> None:
    await until(lambda: all(request.told for request in requests))


async def test_everybody_is_served_once() -> None:
    one = gate()
    requests = [Request("ab"[number % 2]) for number in range(200)]
    admitted = [r for r in requests if one.line_up_check(r.tenant.encode(), 200, r)]
    await settled(*admitted)
    await asyncio.sleep(0.1)
    assert all(request.told == ["served"] for request in admitted)
    assert len(admitted) == 200


async def test_no_more_than_there_is_room_for() -> None:
    """The flood is cut, the newcomer finds room, and is served before the flood's end."""
    one = gate()
    flood = [Request("flood", 0.0005) for _ in range(2_000)]
    admitted = [r for r in flood if one.line_up_check(b"flood", 200, r)]
    assert 1 <= len(admitted) < 2_000
    assert not one.has_room(b"flood", batch=False)
    late = Request("newcomer")
    assert one.line_up_check(b"newcomer", 200, late)
    await settled(late)
    assert sum(bool(request.told) for request in admitted) < len(admitted)
    await settled(*admitted)


async def test_who_keeps_to_its_share_does_not_line_up() -> None:
    """While one tenant's line is full, and its requests are refused, another's are answered at once; it lines up when
    it asks for as much itself, and is not refused then either."""
    one = gate()
    one.watch()
    one.late = True
    admitted: list[Request] = []

    def flood() -> bool:
        while one.has_room(b"flood", batch=False):
            admitted.append(Request("flood", 0.0005))
            assert one.line_up_check(b"flood", 200, admitted[-1])
        return one.passes(b"modest", 200)

    await until(flood, 0.001)
    assert not one.passes(b"flood", 200)
    assert one.has_room(b"modest", batch=False)
    for _ in range(10_000):
        if not one.passes(b"modest", 200):
            break
    assert not one.passes(b"modest", 200)
    last = Request("modest")
    assert one.line_up_check(b"modest", 200, last)
    one.close()
    await settled(last, *admitted)


async def test_batches_a_few_at_a_time() -> None:
    """Those that run are few; each that ends lets the next begin, also where its caller has gone."""
    one = gate()
    loop = asyncio.get_running_loop()
    batches = [Request("rail", ends=loop.create_future()) for _ in range(6)]
    assert all(one.line_up_batch(b"rail", 400, batch) for batch in batches)
    gone = Request("rail")
    assert one.line_up_batch(b"rail", 400, gone)
    for batch in batches:
        assert sum(1 for other in batches if other.told and other.ends and not other.ends.done()) <= 2
        await settled(batch)
        assert batch.ends is not None
        batch.ends.set_result(None)
    await settled(gone)


async def test_reports_do_not_wait_for_checks() -> None:
    """The control plane has its turns while the checks' line is full."""
    one = gate()
    checks = [Request("hotel", 0.001) for _ in range(500)]
    admitted = [r for r in checks if one.line_up_check(b"hotel", 200, r)]
    report = Request("police")
    assert one.line_up_control(b"police", report)
    await settled(report)
    assert any(not check.told for check in admitted)
    await settled(*admitted)


async def test_late_and_in_time_again() -> None:
    """A turn that took long, or a flood within one turn, makes requests line up; some calm, and nobody has to."""
    one = gate()
    one.watch()
    assert not one.is_late()
    time.sleep(0.2)  # noqa: ASYNC251  what a loop suffers is the subject
    await until(lambda: one.late, 0.001)
    await until(lambda: not one.late, 0.01)
    lined_up = [one.is_late() for _ in range(2_000)]
    assert not lined_up[0]
    assert lined_up[-1]
    one.close()


async def test_the_refused_rest_and_are_read_from_again() -> None:
    one = gate()
    one.watch()
    wires = [Wire() for _ in range(5_000)]
    for wire in wires:
        one.rest(wire)  # type: ignore[arg-type]
    assert not any(wire.reading for wire in wires)
    await until(lambda: all(wire.reading for wire in wires), 0.01)
    one.close()
