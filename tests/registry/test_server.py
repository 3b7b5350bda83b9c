"""What is asked of a Redis server."""

from collections.abc import Iterator

import pytest
import redis

from lostid.registry.server import findings


@pytest.fixture
def restored(client: redis.Redis) -> Iterator[redis.Redis]:
    """A server whose settings are put back after the test."""
    names = ("maxmemory-policy", "hash-max-listpack-entries", "hash-max-listpack-value")
    before = {name: str(client.config_get(name)[name]) for name in names}
    yield client
    for name, value in before.items():
        client.config_set(name, value)


def test_embedded(restored: redis.Redis) -> None:
    """The embedded server gives no cause for complaint."""
    assert findings(restored) == []


def test_evicts(restored: redis.Redis) -> None:
    """A server that may evict records is refused."""
    restored.config_set("maxmemory-policy", "allkeys-lru")
    (found,) = findings(restored)
    assert (found.code, found.refuse) == ("redis_evicts", True)


@pytest.mark.parametrize("name", ["hash-max-listpack-entries", "hash-max-listpack-value"])
def test_wasteful(restored: redis.Redis, name: str) -> None:
    """A server that keeps our buckets in the large form is warned of, not refused."""
    restored.config_set(name, 32)
    (found,) = findings(restored)
    assert (found.code, found.refuse) == ("redis_memory", False)
    assert name in found.sentence


def test_secretive(restored: redis.Redis) -> None:
    """A managed server that does not let us ask for its settings is taken as it is."""
    restored.acl_setuser(
        "lostid", enabled=True, nopass=True, categories=["+@all"], commands=["-config"], keys=["{lostid}*"]
    )
    kwargs = {**restored.connection_pool.connection_kwargs, "username": "lostid", "password": "any"}
    with redis.Redis(
        connection_pool=redis.ConnectionPool(restored.connection_pool.connection_class, **kwargs)
    ) as other:
        assert findings(other) == []
    restored.acl_deluser("lostid")
