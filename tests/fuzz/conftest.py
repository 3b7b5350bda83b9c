"""A server for the fuzzers, with a key that may do everything. In the end nothing happened that nobody foresaw."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from lostid.domain.roles import ROLES
from tests.serving import Server

OFFICER = "officer-117"


@dataclass(frozen=True)
class Target:
    server: Server
    key: str
    """All roles at once: a role is refused elsewhere, here it would only hide what is behind it."""


@pytest.fixture(scope="module")
def target(server: Server) -> Iterator[Target]:
    said = len(server.said)
    yield Target(server, server.key(*ROLES, org="fuzzers", station="west", operator=OFFICER))
    surprises = [line for line in server.said[said:].splitlines() if "error.unexpected" in line or "Traceback" in line]
    assert surprises == []


@pytest.fixture
def minutes(request: pytest.FixtureRequest) -> float:
    return float(request.config.getoption("--fuzz-minutes"))
