"""What the registry asks of a server: checked at start and by `lostid doctor`."""

from dataclasses import dataclass
from typing import Any, Final

import redis

LISTPACK_ENTRIES: Final = 256
LISTPACK_VALUE: Final = 64
OLDEST: Final = (7, 0)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to know about a server. ``refuse``: no server of ours may start on it."""

    code: str
    sentence: str
    refuse: bool


def findings(client: redis.Redis) -> list[Finding]:
    info: dict[str, Any] = client.info("server") | client.info("memory") | client.info("cluster")
    return [*_refused(info), *_costly(_limits(client)), *_clustered(info)]


def _refused(info: dict[str, Any]) -> list[Finding]:
    found = []
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        sentence = f"Redis has maxmemory-policy {policy}; set it to noeviction, or records vanish."
        found.append(Finding("redis_evicts", sentence, True))
    version = str(info.get("redis_version", "0.0"))
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        found.append(Finding("redis_too_old", f"Redis {version} is older than 7.0.", True))
    return found


def _limits(client: redis.Redis) -> dict[str, str]:
    """Empty where a managed server does not let one ask."""
    try:
        return client.config_get("hash-max-listpack-*")  # type: ignore[return-value]
    except redis.ResponseError:
        return {}


def _costly(limits: dict[str, str]) -> list[Finding]:
    found = []
    for name, least in (("hash-max-listpack-entries", LISTPACK_ENTRIES), ("hash-max-listpack-value", LISTPACK_VALUE)):
        if int(limits.get(name, least)) < least:
            sentence = f"Redis has {name} {limits[name]}; below {least} the registry takes three times the memory."
            found.append(Finding("redis_memory", sentence, False))
    return found


def _clustered(info: dict[str, Any]) -> list[Finding]:
    if info.get("cluster_enabled") != 1:
        return []
    sentence = "Redis runs as a cluster; give the address of the one node that holds our slot."
    return [Finding("redis_cluster", sentence, False)]
