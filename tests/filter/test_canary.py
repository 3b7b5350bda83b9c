"""What a canary that was seen, or not, does to the host's answers."""

import pytest

from lostid.filter.canary import Health, Road, Sight, look

SOUND = Health()


@pytest.mark.parametrize(("road", "halted"), [(Road.MAP, True), (Road.LEDGER, True), (Road.REGISTRY, False)])
def test_clear(road: Road, halted: bool) -> None:
    """A canary that is clear on a road that decides alone halts the answers; in Redis it is an alarm."""
    health = look(SOUND, {road: Sight.CLEAR})
    assert health.broken == {road}
    assert health.halted is halted


@pytest.mark.parametrize("road", Road)
def test_unknown(road: Road) -> None:
    """No answer is neither alarm nor all-clear."""
    assert look(SOUND, {road: Sight.UNKNOWN}) == SOUND
    broken = Health(frozenset({road}))
    assert look(broken, {road: Sight.UNKNOWN}) == look(broken, {}) == broken


def test_back() -> None:
    """Answers resume when the canaries are there again, road by road."""
    health = look(SOUND, dict.fromkeys(Road, Sight.CLEAR))
    health = look(health, {Road.MAP: Sight.THERE, Road.LEDGER: Sight.UNKNOWN})
    assert health.halted
    assert look(health, {Road.LEDGER: Sight.THERE}) == Health(frozenset({Road.REGISTRY}))
