"""The lines of an overloaded worker: nothing is lost, nobody waits beyond the limit, nobody suffers for another."""

from collections import Counter, defaultdict, deque

from hypothesis import given, settings
from hypothesis import strategies as st

from lostid.guard.shedding import (
    FEWEST_WAKES,
    LONGEST_NS,
    MOST_WAKES,
    QUANTUM,
    TURN_NS,
    Backlog,
    Pace,
    next_wakes,
    slice_ns,
)

TENANTS = "abcd"
PUTS = st.tuples(st.sampled_from(TENANTS), st.integers(1, 300))
STEPS = st.lists(st.one_of(PUTS, st.none()), max_size=200)  # None: take


@given(STEPS, st.integers(1, 500))
def test_nothing_is_lost(steps: list[tuple[str, int] | None], limit: int) -> None:
    """What was admitted comes out once, in its tenant's order; what waits stays within the limit, but for one of
    each tenant."""
    line: Backlog[int] = Backlog(limit)
    model: dict[str, deque[tuple[int, int]]] = defaultdict(deque)
    for number, step in enumerate(steps):
        if step is None:
            taken = line.take(number)
            assert (taken is None) == (not any(model.values()))
            if taken is not None:
                tenant = next(name for name, queue in model.items() if queue and queue[0][0] == taken.item)
                assert model[tenant].popleft() == (taken.item, taken.cost)
                assert taken.waited_ns == number - taken.item
        else:
            tenant, cost = step
            room = line.has_room(tenant)
            assert line.put(tenant, cost, number, number) == room
            if room:
                model[tenant].append((number, cost))
        waiting = sum(cost for queue in model.values() for _, cost in queue)
        assert line.waiting == waiting < limit + 300 * len(TENANTS)
    while line.take(0) is not None:
        pass
    assert line.waiting == 0


@given(st.integers(0, 400), st.integers(1, 40), st.integers(30, 1000))
def test_room_for_a_newcomer(flood: int, flooders: int, limit: int) -> None:
    """However many ask however much: who has nothing waiting finds room."""
    line: Backlog[int] = Backlog(limit)
    for number in range(flood):
        for tenant in range(min(flooders, limit // 3)):
            line.put(f"flooder-{tenant}", 1, number, 0)
    assert line.put("newcomer", 1, -1, 0)


@given(st.lists(st.integers(1, 60), min_size=2, max_size=5))
@settings(max_examples=50)
def test_tenants_that_wait_are_served_alike(costs: list[int]) -> None:
    """Each has its own cost of a request and always more waiting: over any time they get the same, but for a round."""
    line: Backlog[str] = Backlog(1_000_000)
    for place, cost in enumerate(costs):
        for _ in range(500):
            line.put(f"t{place}", cost, f"t{place}", 0)
    served: Counter[str] = Counter()
    for _ in range(500):
        taken = line.take(0)
        assert taken is not None
        served[taken.item] += taken.cost
        if min((served[f"t{place}"] for place in range(len(costs))), default=0) > 0:
            assert max(served.values()) - min(served.values()) <= 2 * (QUANTUM + max(costs))


def test_who_asks_seldom_is_served_first() -> None:
    """A request of a tenant that had nothing waiting overtakes those of one that always has."""
    line: Backlog[str] = Backlog(1_000)
    for _ in range(200):
        line.put("flood", 1, "flood", 0)
    for _ in range(QUANTUM + 1):  # past the credit that the flooder had as a newcomer
        line.take(0)
    for _ in range(20):
        line.put("seldom", 1, "seldom", 0)
        first = [line.take(0) for _ in range(QUANTUM + 2)]
        assert "seldom" in [taken.item for taken in first if taken is not None]


def test_the_greedy_are_refused_first() -> None:
    line: Backlog[str] = Backlog(300)
    while line.put("greedy", 1, "", 0):
        pass
    assert line.waiting == 200  # twice what is then still free
    for _ in range(60):
        assert line.put("modest", 1, "", 0)
    assert not line.has_room("greedy")


def test_a_smaller_limit_is_not_for_the_modest_to_bear() -> None:
    """Where it suddenly is below what waits, they keep their share."""
    line: Backlog[str] = Backlog(300)
    while line.put("greedy", 1, "", 0):
        pass
    line.limit = 100
    while line.put("modest", 1, "", 0):
        pass
    assert not line.has_room("greedy")
    assert line.has_room("newcomer")
    assert 200 + 10 <= line.waiting <= 200 + 100 // 2


def test_pace_follows_and_does_not_spiral() -> None:
    """The limit follows what is done; where refusals alone kept the line short, it grows again."""
    pace = Pace(100_000, 60_000_000)
    assert pace.limit == 600
    for _ in range(800):
        pace.learn(100, 5_000_000)
    assert 1_100 < pace.limit <= 1_200
    for _ in range(800):
        pace.learn(1, 50_000_000)
    slowest = pace.limit
    assert 1 <= slowest <= 12
    pace.learn(0, 1)
    assert pace.limit == slowest
    for _ in range(800):
        pace.hurry()
    assert pace.limit > 1_000


@given(st.integers(0, 10**12))
def test_turns_stay_short_and_service_goes_on(elsewhere: int) -> None:
    """A slice ends the turn in time; where reading alone took longer, there is still a fifth of the turn for it."""
    slice_ = slice_ns(elsewhere)
    assert 0 < slice_ <= LONGEST_NS
    assert elsewhere + slice_ >= TURN_NS
    assert elsewhere + slice_ <= max(TURN_NS, elsewhere + elsewhere // 4)
    assert slice_ >= min(elsewhere // 4, LONGEST_NS)


def test_wakes_find_their_measure() -> None:
    wakes = MOST_WAKES
    for _ in range(100):
        wakes = next_wakes(wakes, 10, 1)
    assert wakes == FEWEST_WAKES
    for _ in range(100):
        wakes = next_wakes(wakes, 1, 10)
    assert wakes == MOST_WAKES
