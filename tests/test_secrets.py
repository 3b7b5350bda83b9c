"""The four secrets: made once, never guessed again."""

from pathlib import Path

import pytest

from lostid.secrets import NAMES, SIZE, SecretsRefused, SigningFile, load_or_make, replace_signing


def test_made_once(tmp_path: Path) -> None:
    """The first start makes four different secrets of 32 bytes, for their owner alone; later starts read the same."""
    made = load_or_make(tmp_path / "secrets", make=True)
    held = {made.pepper, made.outer, made.sealing, made.signing}
    assert len(held) == 4
    assert {len(secret) for secret in held} == {32}
    assert {path.name for path in (tmp_path / "secrets").iterdir()} == set(NAMES)
    assert all((tmp_path / "secrets" / name).stat().st_mode & 0o777 == 0o600 for name in NAMES)
    assert load_or_make(tmp_path / "secrets", make=False) == made
    assert load_or_make(tmp_path / "secrets", make=True) == made


def test_interrupted(tmp_path: Path) -> None:
    """A first start that ended half-way is completed: what was made stays, what is missing is made."""
    made = load_or_make(tmp_path, make=True)
    (tmp_path / "signing").unlink()
    (tmp_path / ".signing.new").write_text("half of it")
    again = load_or_make(tmp_path, make=True)
    assert (again.pepper, again.outer, again.sealing) == (made.pepper, made.outer, made.sealing)
    assert again.signing != made.signing


@pytest.mark.parametrize("name", NAMES)
def test_missing(name: str, tmp_path: Path) -> None:
    """Once there is a ledger a missing secret is refused by its name, not made."""
    load_or_make(tmp_path, make=True)
    (tmp_path / name).unlink()
    with pytest.raises(SecretsRefused, match=f"{name} is missing"):
        load_or_make(tmp_path, make=False)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("held", [b"", b"00", b"zz" * 32, b"00" * 33, b"\xff" * 64])
def test_malformed(held: bytes, tmp_path: Path) -> None:
    """A file that is no secret is refused, and its content not shown."""
    load_or_make(tmp_path, make=True)
    (tmp_path / "pepper").write_bytes(held)
    with pytest.raises(SecretsRefused, match="pepper is not 64 hexadecimal digits"):
        load_or_make(tmp_path, make=False)


def test_open_to_others(tmp_path: Path) -> None:
    """A secret that other users may read is refused."""
    load_or_make(tmp_path, make=True)
    (tmp_path / "outer").chmod(0o640)
    with pytest.raises(SecretsRefused, match="outer is open to other users"):
        load_or_make(tmp_path, make=False)


def test_not_shown(tmp_path: Path) -> None:
    """Printing the secrets shows none of them."""
    made = load_or_make(tmp_path, make=True)
    assert repr(made) == "Secrets()"


def test_signing_file(tmp_path: Path) -> None:
    """A new key is taken up as soon as it lies there; while nothing readable does, the one before it counts."""
    secrets = load_or_make(tmp_path, make=True)
    signing = SigningFile(tmp_path)
    assert signing.seed() == secrets.signing
    replace_signing(tmp_path, b"n" * SIZE)
    assert signing.seed() == b"n" * SIZE
    assert load_or_make(tmp_path, make=False).signing == b"n" * SIZE
    (tmp_path / "signing").write_text("nonsense")
    assert signing.seed() == b"n" * SIZE
    (tmp_path / "signing").unlink()
    assert signing.seed() == b"n" * SIZE
    with pytest.raises(SecretsRefused):
        SigningFile(tmp_path).seed()
