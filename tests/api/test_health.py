"""How the host says how it is."""

import re

import httpx

from tests.api.serving import Served, check_of, resident


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
