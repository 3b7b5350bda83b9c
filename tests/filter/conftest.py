"""A run directory on tmpfs, as in real life, and the identity that everything in it shares."""

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lostid.settings import SHM


@pytest.fixture
def run_dir() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="lostid-test-", dir=SHM if SHM.is_dir() else None))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def boot() -> bytes:
    return secrets.token_bytes(16)
