"""Clients of Redis or Valkey as this room needs them: no retry behind our back, no waiting without an end."""

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

CONNECT_TIMEOUT = 2.0
WRITE_TIMEOUT = 10.0
"""For the relay and the command line. A server that is silent for longer is as good as gone."""


def open_client(url: str) -> redis.Redis:
    """For the relay and the command line. No retries: of a step that a library sends again nobody knows the outcome."""
    return redis.Redis.from_url(
        url,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=CONNECT_TIMEOUT,
        socket_timeout=WRITE_TIMEOUT,
        driver_info=None,
    )


def open_async_client(url: str) -> redis.asyncio.Redis:
    """For the workers. `Reader` sets the time limits of its own connection itself."""
    return redis.asyncio.Redis.from_url(
        url,
        protocol=2,
        retry=redis.asyncio.retry.Retry(NoBackoff(), 0),
        socket_connect_timeout=CONNECT_TIMEOUT,
        socket_timeout=WRITE_TIMEOUT,
        driver_info=None,
    )
