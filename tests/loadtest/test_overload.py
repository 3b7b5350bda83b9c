"""What the overload test is held to: a run that breaks one promise is found to break that one."""

from array import array

from overload.figures import Figure, normal_again, overloaded, percentile_ms, shares, sustained, undisturbed
from overload.flood import Seen


def seen(answered: int = 100, took_us: int = 5_000, refused: int = 0, refused_us: int = 10_000) -> Seen:
    return Seen(array("q", [took_us] * answered), array("q", [refused_us] * refused))


def broken(found: list[Figure]) -> list[str]:
    return [figure.name for figure in found if not figure.kept]


def test_percentiles() -> None:
    assert percentile_ms([], 0.99) == 0.0
    assert percentile_ms(list(range(1_000, 101_000, 1_000)), 0.99) == 100.0
    assert percentile_ms([7_000], 0.5) == 7.0


def test_sustained() -> None:
    assert sustained(seen(99, refused=1))
    assert not sustained(seen(98, refused=2))
    assert not sustained(seen(100, took_us=200_000))
    late = seen(100)
    late.not_offered = 10
    assert not sustained(late)
    assert not sustained(Seen())


def test_each_promise_of_the_overload() -> None:
    good, police = seen(80, refused=200), seen(10)
    assert broken(overloaded(good, police, 100, 1)) == []
    assert broken(overloaded(seen(60, refused=200), police, 100, 1)) == ["share of the capacity that is answered"]
    assert broken(overloaded(seen(80, 300_000), police, 100, 1)) == ["answered, p99 in ms"]
    assert broken(overloaded(seen(80, refused=200, refused_us=60_000), police, 100, 1)) == ["refused, p99 in ms"]
    assert broken(overloaded(good, seen(9, refused=1), 100, 1)) == ["reports without a receipt"]
    good.without_retry_after = 1
    assert broken(overloaded(good, police, 100, 1)) == ["refused without Retry-After"]
    good.without_retry_after, good.broken = 0, 1
    assert broken(overloaded(good, police, 100, 1)) == ["checks broken off, or answered otherwise"]


def test_the_others() -> None:
    """Refused while it should be normal again; slower beside idlers; slower or refused beside a greedy tenant."""
    after = seen()
    after.seconds = [[1, 9], [1, 9], [1, 0]]
    assert broken(normal_again(after, 2)) == []
    assert broken(normal_again(after, 1)) == ["refused after it"]
    assert broken(undisturbed(seen(), seen(took_us=9_000))) == []
    assert len(broken(undisturbed(seen(), seen(took_us=11_000, refused=1)))) == 2
    assert broken(shares([seen(), seen()], [seen(), seen(took_us=11_000)])) == ["others' p99, as a multiple"]
    assert broken(shares([seen()], [seen(refused=1)])) == ["others' requests refused"]
