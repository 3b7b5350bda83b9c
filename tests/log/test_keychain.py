"""Keys that succeed each other: everything they signed verifies for ever, and nobody else's key slips in."""

import random
from dataclasses import replace
from itertools import pairwise

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lostid.log import jws
from lostid.log.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from lostid.log.keychain import SigningKey, believed, endorsed, succeed
from lostid.log.note import NoteRefused, NoteVerifier

ORIGIN = "registry.example/lostid"
KEYS = [Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in range(1, 5)]
PUBLIC = [key.public_key().public_bytes_raw() for key in KEYS]
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes([99]) * 32)
FOREIGN = STRANGER.public_key().public_bytes_raw()


def chain() -> list[SigningKey]:
    first = SigningKey(jws.thumbprint(PUBLIC[0]), PUBLIC[0])
    return [first, *(succeed(old, new, ORIGIN, 7) for old, new in pairwise(KEYS))]


def kids(keys: list[SigningKey]) -> list[str]:
    return [key.kid for key in keys]


@pytest.mark.parametrize("own", range(4))
def test_all_of_the_chain(own: int) -> None:
    """Whichever of the keys a host holds (it may not have been given the newest yet), it publishes all of them."""
    rows = chain()
    assert believed(rows, PUBLIC[own]) == rows
    random.Random(own).shuffle(rows)
    assert believed(rows, PUBLIC[own]) == rows


def test_rows_of_somebody_else() -> None:
    """Whoever can write to the ledger adds a key of his own: bare, after ours, before ours, or in the place of one."""
    rows = chain()
    kid = jws.thumbprint(FOREIGN)
    by_itself = succeed(KEYS[3], STRANGER, ORIGIN, 7).by_itself
    after_ours = succeed(STRANGER, KEYS[0], ORIGIN, 7)
    for forged in (
        SigningKey(kid, FOREIGN),
        SigningKey(kid, FOREIGN, rows[3].kid, None, by_itself),
        SigningKey(kid, FOREIGN, rows[3].kid, rows[3].by_predecessor, by_itself),
        SigningKey(kid, FOREIGN, rows[3].kid, succeed(STRANGER, KEYS[0], ORIGIN, 7).by_predecessor, by_itself),
        SigningKey(kid, FOREIGN, rows[3].kid, "not.a.token", "neither"),
    ):
        assert believed([*rows, forged], PUBLIC[3]) == rows
    assert kids(believed([replace(rows[1], public=FOREIGN), *rows[2:], rows[0]], PUBLIC[3])) == kids(rows[2:])
    cut = [SigningKey(kid, FOREIGN), rows[0], replace(rows[1], predecessor=kid), *rows[2:]]
    assert kid not in kids(believed(cut, PUBLIC[3]))
    claimed = [SigningKey(kid, FOREIGN), replace(after_ours, by_itself=None), *rows[1:]]
    assert kid not in kids(believed(claimed, PUBLIC[0]))


def test_dead_branch() -> None:
    """A rotation that ended before its key was kept: the next one begins from the same key; the first is not shown."""
    first, lost, kept = chain()[0], succeed(KEYS[0], KEYS[1], ORIGIN, 7), succeed(KEYS[0], KEYS[2], ORIGIN, 8)
    assert believed([first, lost, kept], PUBLIC[2]) == [first, kept]


def test_own_key_unknown_to_the_ledger() -> None:
    """A key that no row names is published alone."""
    assert kids(believed(chain(), FOREIGN)) == [jws.thumbprint(FOREIGN)]


def test_old_receipts_and_checkpoints() -> None:
    """What each key of the chain has signed verifies through the keys that are published today."""
    keys = jws.keys_of({"keys": [key.jwk for key in believed(chain(), PUBLIC[3])]})
    verifiers = [NoteVerifier(ORIGIN, public) for public in keys.values()]
    assert len({verifier.key_id for verifier in verifiers}) == 4
    for number, private in enumerate(KEYS):
        token = jws.sign({"seq": number}, "lostid-check+jwt", private)
        assert jws.verify(token, "lostid-check+jwt", keys) == {"seq": number}
        checkpoint = Checkpoint(ORIGIN, number, bytes(32))
        assert open_checkpoint(sign_checkpoint(checkpoint, private), ORIGIN, verifiers) == checkpoint
    with pytest.raises(NoteRefused):
        open_checkpoint(sign_checkpoint(Checkpoint(ORIGIN, 1, bytes(32)), STRANGER), ORIGIN, verifiers)


def test_from_a_key_kept_for_years() -> None:
    """Whoever trusts the first key alone can verify all later ones, and no other that is published beside them."""
    published = {"keys": [*(key.jwk for key in reversed(chain())), jws.jwk(FOREIGN)]}
    first = {jws.thumbprint(PUBLIC[0]): PUBLIC[0]}
    assert set(endorsed(first, published).values()) == set(PUBLIC)
    second = {jws.thumbprint(PUBLIC[1]): PUBLIC[1]}
    assert set(endorsed(second, published).values()) == set(PUBLIC[1:])
    forged = {**jws.jwk(FOREIGN), "endorsement": succeed(STRANGER, KEYS[0], ORIGIN, 7).by_predecessor}
    assert FOREIGN not in endorsed(first, {"keys": [*published["keys"], forged]}).values()
    with pytest.raises(jws.TokenRefused):
        endorsed(first, {})
