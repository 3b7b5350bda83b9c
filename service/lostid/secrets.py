"""The four secrets of a registry: 32 random bytes each, one file each, never in PostgreSQL or Redis.

pepper   keys the document keys; whoever holds it and a copy of the registry can try numbers
outer    keys the tokens, one layer further out, so that re-keying needs no numbers
sealing  AES-GCM key over the tokens in the ledger
signing  Ed25519 seed: receipts and checkpoints
"""

import os
import secrets
import stat
from dataclasses import dataclass, field, fields
from pathlib import Path

from lostid import durable

SIZE = 32


class SecretsRefused(Exception):
    """A secret is missing, malformed or open to others. The sentence says which, never what it holds."""


@dataclass(frozen=True, slots=True)
class Secrets:
    pepper: bytes = field(repr=False)
    outer: bytes = field(repr=False)
    sealing: bytes = field(repr=False)
    signing: bytes = field(repr=False)


NAMES = tuple(f.name for f in fields(Secrets))


def load_or_make(directory: Path, make: bool) -> Secrets:
    """Read the secrets; where `make` is given (the first start of an embedded registry), make those that are missing.

    A start that was interrupted while it made them is completed by the next. Once there is a ledger, `make` must be
    false: a new secret in the place of a lost one would only hide the loss.
    """
    if make:
        durable.make_directory(directory)
        for name in NAMES:
            path = directory / name
            if not path.exists():
                _write(path, secrets.token_bytes(SIZE))
    return Secrets(*(_read(directory / name) for name in NAMES))


def replace_signing(directory: Path, seed: bytes) -> None:
    """Put a new signing key in the place of the old one, which is gone then."""
    _write(directory / "signing", seed)


class SigningFile:
    """The signing key as it is now: it may be rotated, or copied here from another host, while a server runs."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "signing"
        self._seen: tuple[int, int] | None = None
        self._seed = b""

    def seed(self) -> bytes:
        """Reads the file only after it was replaced. While it cannot be read, the key from before counts. Raises
        SecretsRefused where there is none."""
        try:
            found = self._path.stat()
            seen = (found.st_ino, found.st_mtime_ns)
            if seen != self._seen:
                self._seed, self._seen = _read(self._path), seen
        except (OSError, SecretsRefused) as refused:
            if not self._seed:
                raise SecretsRefused(str(refused)) from None
        return self._seed


def _write(path: Path, secret: bytes) -> None:
    durable.write(path, secret.hex().encode() + b"\n")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as f:
            mode = os.fstat(f.fileno()).st_mode
            text = f.read(4 * SIZE)
    except FileNotFoundError:
        raise SecretsRefused(f"the secret {path} is missing; restore it from your backup") from None
    except OSError as e:
        raise SecretsRefused(f"the secret {path} cannot be read: {e.strerror}") from None
    if stat.S_IMODE(mode) & 0o077:
        raise SecretsRefused(f"the secret {path} is open to other users; make it mode 0600")
    try:
        secret = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        secret = b""
    if len(secret) != SIZE:
        raise SecretsRefused(f"the secret {path} is not {2 * SIZE} hexadecimal digits")
    return secret
