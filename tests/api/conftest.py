"""One server for all tests of the edge. When it ends, everything it said is searched for document numbers."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lostid.api.ids import reads_as_number
from lostid.settings import Settings
from tests.api.serving import Key, Served, serving


@pytest.fixture(scope="session")
def server() -> Iterator[Served]:
    place = Path(tempfile.mkdtemp(prefix="lostid-api-"))
    try:
        with serving(place / "data") as served:
            yield served
        leaked = [line for line in served.log.read_text().splitlines() if reads_as_number(line)]
        leaked += [answer for answer in served.heard if reads_as_number(answer)]
        assert leaked == []
    finally:
        shutil.rmtree(Settings(data_dir=place / "data").run_dir, ignore_errors=True)
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def checker(server: Served) -> Key:
    return server.key("hotel", "checker")


@pytest.fixture(scope="session")
def reporter(server: Served) -> Key:
    return server.key("police", "reporter", "checker", station="station-1", operator="officer-1")


@pytest.fixture
def desk(server: Served, checker: Key) -> Iterator[httpx.Client]:
    """A hotel's desk."""
    with server.client(checker) as client:
        yield client


@pytest.fixture
def counter(server: Served, reporter: Key) -> Iterator[httpx.Client]:
    """A police counter."""
    with server.client(reporter) as client:
        yield client


@pytest.fixture(scope="session")
def auditor(server: Served) -> Key:
    return server.key("procuratorate", "auditor")
