"""How the host says how it is."""

import re

import httpx

from lostid.api.health import registry_state
from lostid.registry.client import open_async_client, open_client
from lostid.registry.filling import Filler
from lostid.registry.writer import Writer
from tests.api.serving import Served, check_of, resident
from tests.registry.making import LAYOUT, at, key, value
from tests.waiting import wait_for


def counters(client: httpx.Client) -> dict[str, float]:
    text = client.get("/metrics").text
    return {name: float(value) for name, value in re.findall(r"^(\S+) (\S+)$", text, re.MULTILINE)}


def test_probes(server: Served) -> None:
    """The two probes are open, and readyz tells of each part."""
    with server.client() as client:
        assert client.get("/livez").json() == {"status": "alive"}
        told = client.get("/readyz")
        assert told.status_code == 200
        assert {name: part["ok"] for name, part in told.json().items() if name != "ready"} == {
            "lease": True,
            "filter": True,
            "ledger": True,
            "registry": True,
        }
        assert told.json()["filter"]["doing"] == "following"
        wait_for(lambda: client.get("/readyz").json()["registry"]["doing"] == "in_service", 30, "a filled registry")


async def test_registry(valkey_url: str) -> None:
    """While the registry is filled, readyz says so, and how far it is; where nobody answers, no more than that."""
    with open_client(valkey_url) as client:
        writer = Writer(client)
        filler = Filler(client, writer.wipe(writer.head(), LAYOUT, 40) or "", LAYOUT)
        filler.fill([(30, [(key(1), value(1, 5))])])
        asked = open_async_client(valkey_url)
        assert await registry_state(asked) == {"ok": True, "doing": "filling", "done": 30, "total": 40}
        filler.finish(at(5))
        assert await registry_state(asked) == {"ok": True, "doing": "in_service"}
        client.flushall()
        assert await registry_state(asked) == {"ok": True, "doing": "empty"}
        writer.sorting(0)
        assert await registry_state(asked) == {"ok": True, "doing": "sorting"}
        writer.sorting(40)
        assert await registry_state(asked) == {"ok": True, "doing": "sorting", "total": 40}
        assert writer.wipe(writer.head(), LAYOUT, 40)
        assert await registry_state(asked) == {"ok": True, "doing": "filling", "done": 0, "total": 40}
        await asked.aclose()
    nobody = open_async_client("unix:///nobody")
    assert await registry_state(nobody) == {"ok": False}
    await nobody.aclose()


def test_metrics(server: Served, desk: httpx.Client) -> None:
    """A scrape adds up all workers, whichever is asked: not one check is missing."""
    with server.client() as client:
        before = counters(client)
        for _ in range(7):
            with server.client() as one:  # connections of their own, so that both workers are asked
                one.post(
                    "/v1/checks", json=check_of(resident()), headers={"Authorization": desk.headers["Authorization"]}
                )
        desk.post("/v1/checks", content=b"")
        after = counters(client)
    for name, more in (
        ('lostid_checks_total{status="clear"}', 7),
        ('lostid_requests_total{kind="control"}', 1),
        ("lostid_check_seconds_count", 7),
        ('lostid_problems_total{code="media_type"}', 1),
    ):
        assert after[name] - before[name] == more
    assert after["lostid_lease_left_seconds"] > 0
    assert after["lostid_halted"] == 0


def test_status(server: Served) -> None:
    """How far the ledger is, and every host that holds a lease."""
    with server.client() as client:
        told = client.get("/v1/status").json()
    assert told["seq"] >= 1
    assert [host["lag"] for host in told["hosts"]] == [0]
    assert told["counts"]["api_keys"] >= 0
