"""The canary documents are documents like any other, save that nobody can touch them."""

from datetime import date

from lostid.domain.canaries import CANARIES, canary_keys
from lostid.domain.canonical import canonicalise
from lostid.domain.keys import Keyring

KEYRING = Keyring(outer=b"o" * 32, pepper=b"p" * 32, sealing=b"s" * 32)


def test_canonical() -> None:
    """Each is the canonical form of itself."""
    for canary in CANARIES:
        assert canonicalise(canary.type, canary.number, None, date(2026, 1, 1))._replace(birth=None) == canary


def test_apart() -> None:
    """Their keys are those of nobody's document: the environment is part of the key."""
    live = {KEYRING.key(env, canary) for canary in CANARIES for env in ("live", "test")}
    assert live.isdisjoint(canary_keys(KEYRING))
    assert len(set(canary_keys(KEYRING))) == len(CANARIES)
