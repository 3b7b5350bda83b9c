"""A registry for the mirrors' tests, with a key for everybody."""

import pytest

from tests.clients.desks import Town
from tests.clients.desks import town as make
from tests.serving import Server


@pytest.fixture(scope="session")
def town(server: Server) -> Town:
    return make(server)
