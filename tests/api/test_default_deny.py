"""Nothing is open by default: every route is asked without a key, with an unknown one and with every other role."""

import json
from pathlib import Path

import httpx
import pytest

from lostid.domain.roles import ROLES
from tests.api.serving import Key, Served

OPEN = {("get", "/livez"), ("get", "/readyz"), ("get", "/.well-known/jwks.json")}
LOOPBACK = {("get", "/metrics"), ("get", "/v1/status")}
# The first that is part of the path says who may.
ROLE = {
    "log/": {"auditor"},
    "imports/{import_id}/rows": {"importer"},
    "imports/{import_id}": {"importer", "approver"},
    "imports": {"importer"},
    "as-of": {"reporter", "auditor"},
    "approve": {"approver", "supervisor"},
    "refuse": {"approver", "supervisor"},
    "withdrawals": {"reporter", "approver", "supervisor"},
    "withdrawal": {"reporter", "supervisor"},
    "rewind": {"supervisor"},
    "checks": {"checker"},
    "reports": {"reporter"},
    "metrics": {"admin"},
    "status": {"admin"},
    "mirror": {"mirror"},
    "sandbox": set(ROLES),
}
PREFIXES = {"report": "rpt", "withdrawal": "wdr", "import": "imp"}
DESCRIBED = json.loads((Path(__file__).parents[2] / "openapi.json").read_text())
ROUTES = [(method, path) for path, methods in DESCRIBED["paths"].items() for method in methods]
# What says that the request came from elsewhere, through a proxy on this machine.
FROM_ELSEWHERE = {"X-Forwarded-For": "203.0.113.9"}


@pytest.fixture(scope="module")
def keys(server: Served) -> dict[str, Key]:
    """A key of each role, and of that role alone."""
    return {role: server.key("org", role, station="s-1", operator="op-1") for role in ROLES}


def ask(client: httpx.Client, method: str, path: str) -> httpx.Response:
    made = {f"{name}_id": f"{prefix}_{'0' * 32}" for name, prefix in PREFIXES.items()}
    ids = {**made, "name": "op-2"}
    return client.request(method, path.format(**ids, path="0/000", seq=1, number=1), headers=FROM_ELSEWHERE)


def test_routes() -> None:
    """The open ones and those open to this machine are these, and every other one names its role."""
    assert set(ROUTES) >= OPEN | LOOPBACK
    for method, path in set(ROUTES) - OPEN:
        may_be_none: list[object] = [{}] if (method, path) in LOOPBACK else []
        assert DESCRIBED["paths"][path][method]["security"] == [{"key": []}, *may_be_none]


@pytest.mark.parametrize(("method", "path"), sorted(set(ROUTES) - OPEN))
def test_denied(server: Served, keys: dict[str, Key], method: str, path: str) -> None:
    """Without a key 401, with an unknown one 401, with every key of another role 403."""
    unknown = Key("key_0", "lid_live_" + "A" * 43, "")
    for key, code in ((None, "key_missing"), (unknown, "key_unknown")):
        with server.client(key) as client:
            response = ask(client, method, path)
            assert (response.status_code, response.json()["code"]) == (401, code)
            assert response.headers["www-authenticate"].startswith('Bearer realm="lostid"')
    allowed = next(roles for part, roles in ROLE.items() if part in path)
    for role in ROLES:
        with server.client(keys[role]) as client:
            response = ask(client, method, path)
            if role in allowed:
                assert response.status_code not in (401, 403)
            else:
                assert (response.status_code, response.json()["code"]) == (403, "role_missing")


@pytest.mark.parametrize("sent", ["", "Basic QTpC", "Bearer", "Bearer x", "lid_live_x", "Bearer " + "x" * 5000])
def test_odd_authorization(server: Served, sent: str) -> None:
    """Whatever else stands in the header is nobody's key."""
    with server.client(Authorization=sent) as client:
        for path in ("/v1/checks", "/v1/reports"):
            assert client.post(path).json()["code"] in ("key_missing", "key_unknown")


@pytest.mark.parametrize(("method", "path"), sorted(LOOPBACK))
def test_this_machine(server: Served, method: str, path: str) -> None:
    """From this machine the two need no key."""
    with server.client() as client:
        assert client.request(method, path).status_code == 200
