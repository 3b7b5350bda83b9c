"""From a canonical number to the document key, in two keyed layers; and the keys derived for other purposes.

token        = BLAKE2b-128(outer key,  environment, type, number; each length-prefixed)
document key = BLAKE2b-128(pepper,     token)

mirror position = BLAKE2b-128(mirror key, token)      mirror key = HKDF-SHA256(pepper; the mirror's id)

The pepper can be changed with the sealed tokens alone. Outside the secrets directory only mirrors hold the outer key,
each with a mirror key of its own: neither the pepper nor another mirror's key follows from the two. Every use of a key
has a personalisation of its own (RFC 7693 section 2.5), so that no output serves for another purpose.
"""

from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from lostid.domain.canonical import Canonical

ENVIRONMENTS: Final = ("live", "test", "canary")

KEY_BYTES: Final = 16
SERIAL_TAG_BYTES: Final = 8
_SECRET_BYTES: Final = 32
_NONCE_BYTES: Final = 12

_token_hash = partial(blake2b, digest_size=16, person=b"lostid.token.1")
_key_hash = partial(blake2b, digest_size=KEY_BYTES, person=b"lostid.dockey.1")
_serial_hash = partial(blake2b, digest_size=SERIAL_TAG_BYTES, person=b"lostid.serial.1")
_subkey_hash = partial(blake2b, digest_size=32, person=b"lostid.subkey.1")
_check_hash = partial(blake2b, digest_size=16, person=b"lostid.check.1")
_body_hash = partial(blake2b, digest_size=32, person=b"lostid.body.1")
_mirror_hash = partial(blake2b, digest_size=KEY_BYTES, person=b"lostid.mirror.1")
_mirror_check_hash = partial(blake2b, digest_size=8, person=b"lostid.mirrorid1")


_LENGTHS: Final = tuple(length.to_bytes(2) for length in range(64))


def _prefixed(text: str) -> bytes:
    raw = text.encode("ascii")
    length = len(raw)
    return (_LENGTHS[length] if length < 64 else length.to_bytes(2)) + raw


def token(outer_key: bytes, env: str, type: str, number_material: str) -> bytes:
    """The 16-byte token of a number in an environment."""
    return _token_hash(_prefixed(env) + _prefixed(type) + _prefixed(number_material), key=outer_key).digest()


def document_key(pepper: bytes, token: bytes) -> bytes:
    """The 16-byte document key of a token: the only form in which a number leaves the process."""
    return _key_hash(token, key=pepper).digest()


def serial_tag(tag_key: bytes, key: bytes, serial: str) -> bytes:
    """8 bytes that stand for a card's serial under one document key; the same serial under another key differs."""
    return _serial_hash(key + serial.encode("ascii"), key=tag_key).digest()


def mirror_hash(mirror_key: bytes) -> blake2b:
    """A hash that has taken in a mirror's key: copied for each token, its digest is the token's mirror position."""
    return _mirror_hash(key=mirror_key)


def mirror_check(mirror_key: bytes) -> str:
    """Hex that tells a mirror whether what it is sent was made under its key: after a change of the pepper it was not,
    and what is looked up under the old one would be missed."""
    return _mirror_check_hash(key=mirror_key).hexdigest()


class Keyring:
    """The secrets of a registry, and all that is made with them. Shows nothing of them when printed."""

    def __init__(self, outer: bytes, pepper: bytes, sealing: bytes) -> None:
        for name, secret in (("outer", outer), ("pepper", pepper), ("sealing", sealing)):
            if len(secret) != _SECRET_BYTES:
                raise ValueError(f"the {name} key must have {_SECRET_BYTES} bytes")
        self._outer = outer
        self._pepper = pepper
        self._sealing = sealing
        self._cipher = AESGCM(sealing)
        # A hash object that has taken in its key and prefix is copied for each number: half the cost of a new one.
        self._begin_key = _key_hash(key=pepper).copy
        self._begun: dict[str, dict[str, Callable[[], blake2b]]] = {env: {} for env in ENVIRONMENTS}
        self.record_tag_key = self.subkey("record tags")
        self.fingerprint_key = self.subkey("body fingerprints")
        self.set_digest_key = self.subkey("digest of the registry")
        self.set_total_key = self.subkey("total of the registry")
        self.key_id = _check_hash(b"key id", key=self.subkey("key id")).digest()[:8]

    def __repr__(self) -> str:
        return f"<Keyring {self.key_id.hex()}>"

    def token(self, env: str, canonical: Canonical) -> bytes:
        type, material = canonical.material if canonical.issuing_state else canonical[:2]
        begin = self._begun[env].get(type)
        if begin is None:
            begin = _token_hash(_prefixed(env) + _prefixed(type), key=self._outer).copy
            self._begun[env][type] = begin
        made = begin()
        made.update(_prefixed(material))
        return made.digest()

    def key_of_token(self, token: bytes) -> bytes:
        made = self._begin_key()
        made.update(token)
        return made.digest()

    def key(self, env: str, canonical: Canonical) -> bytes:
        """The document key of a document in an environment."""
        made = self._begin_key()  # key_of_token, written out: a call less on the check's path
        made.update(self.token(env, canonical))
        return made.digest()

    def serial_tag(self, key: bytes, serial: str) -> bytes:
        return serial_tag(self.record_tag_key, key, serial)

    def seal(self, key: bytes, token: bytes, nonce: bytes) -> bytes:
        """The token as the ledger keeps it, bound to its document key. The nonce is 12 random bytes, used once."""
        return nonce + self._cipher.encrypt(nonce, token, key)

    def unseal(self, key: bytes, sealed: bytes) -> bytes:
        """Raises cryptography's InvalidTag for anything that was not sealed for this document key."""
        return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], key)

    def mirror_key(self, mirror_id: str) -> bytes:
        """The 32-byte key of one mirror's positions (RFC 5869): it tells nothing of the pepper or of other mirrors."""
        info = b"lostid.mirror.1\x00" + mirror_id.encode("ascii")
        return HKDF(algorithm=SHA256(), length=_SECRET_BYTES, salt=None, info=info).derive(self._pepper)

    def mirror_secret(self, mirror_id: str) -> bytes:
        """What the holder of a mirror needs to look numbers up: its own key, then the outer key."""
        return self.mirror_key(mirror_id) + self._outer

    def subkey(self, purpose: str) -> bytes:
        """32 bytes for one named purpose, from both secret layers: neither alone gives them."""
        return _subkey_hash(_prefixed(purpose) + self._outer, key=self._pepper).digest()

    def fingerprint(self, body: bytes) -> bytes:
        """The keyed hash of a request's body (a plain one gives the number away: there are few numbers)."""
        return _body_hash(body, key=self.fingerprint_key).digest()

    def check_values(self) -> dict[str, str]:
        """What the ledger keeps to know these secrets again; nothing of them can be learnt from it."""
        secrets = {"outer": self._outer, "pepper": self._pepper, "sealing": self._sealing}
        return {name: _check_hash(name.encode(), key=secret).hexdigest() for name, secret in secrets.items()}
