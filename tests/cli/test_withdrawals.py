"""Withdrawals, stations, operators and a rewind from the terminal, each against a served registry."""

import itertools
from typing import Any

from lostid.domain.gb11643 import check_character
from tests.serving import Server, told

_numbers = itertools.count(1)


def number() -> str:
    first17 = f"11010819880202{next(_numbers):03d}"
    return first17 + check_character(first17)


def reported(server: Server, key: str, card: str) -> str:
    argv = ("report", "cn.resident-id", "-", "--reason", "lost", "--operator", "o-1", "--case-number", "C-1")
    done = server.cli(*argv, "--valid-from", "2015-03-01", "--json", key=key, stdin=card)
    return str(told(done)["id"])


def status(server: Server, card: str) -> str:
    key = server.key("checker", org="inn")
    argv = ("check", "cn.resident-id", "-", "--valid-from", "2015-03-01", "--json")
    done = server.cli(*argv, key=key, stdin=card)
    for _ in range(20):
        if done.returncode != 3:  # no answer: a busy machine may miss a renewal of the lease
            break
        done = server.cli(*argv, key=key, stdin=card)
    return str(told(done)["status"])


def test_by_two(server: Server) -> None:
    """Asked for by one, approved by another; a rewind by two supervisors brings the report back."""
    org: dict[str, Any] = {"org": "cli-police"}
    card = number()
    officer = server.key("reporter", station="s-1", operator="o-1", **org)
    approver = server.key("approver", station="s-2", operator="o-2", **org)
    report_id = reported(server, officer, card)
    words = ("--operator", "o-1", "--grounds", "entry_error", "--evidence", "wrong card")
    pending = told(server.cli("withdraw", report_id, *words, "--json", key=officer))
    own = server.cli("approve", pending["id"], "--operator", "o-1", "--json", key=officer)
    assert (own.returncode, told(own)["error"]["code"]) == (1, "role_missing")
    done = server.cli("approve", pending["id"], "--operator", "o-2", key=approver)
    assert (done.returncode, "approved" in done.stdout) == (0, True)
    assert status(server, card) == "clear"

    since = ("--since", "2026-01-01T00:00:00+08:00")
    first, second = (server.key("supervisor", station=f"s-{n}", operator=f"o-{n}", **org) for n in (3, 4))
    preview = told(server.cli("operators", "rewind", "o-2", *since, "--json", key=first))
    assert (preview["restored"], preview["marked"]) == ([report_id], [])
    asked = told(server.cli("operators", "rewind", "o-2", *since, "--ask", "--evidence", "paid", "--json", key=first))
    assert status(server, card) == "clear"
    assert server.cli("approve", asked["id"], "--operator", "o-4", key=second).returncode == 0
    assert status(server, card) == "reported"


def test_people(server: Server) -> None:
    """Moved, and revoked: the keys end at once, and the lists say who is left."""
    org = "cli-people"
    old = server.key("reporter", station="east", operator="x", org=org)
    new = server.key("reporter", station="west", operator="x", org=org)

    def works(key: str) -> bool:
        return server.ask("GET", "/v1/withdrawals", None, Authorization=f"Bearer {key}")[0] == 200

    assert (works(old), works(new)) == (True, True)
    moved = server.cli("operators", "move", "x", "--org", org, "--to", "west", "--json")
    assert len(told(moved)["keys"]) == 1
    assert (works(old), works(new)) == (False, True)
    listed = told(server.cli("operators", "list", "--json"))["operators"]
    (mine,) = [row for row in listed if row["org"] == org]
    assert mine == {"org": org, "operator": "x", "stations": ["west"], "keys": 1, "ended": 1}
    assert server.cli("stations", "revoke", "west", "--org", org).returncode == 0
    assert works(new) is False
    listed = told(server.cli("stations", "--json"))["stations"]
    assert [row["keys"] for row in listed if row["org"] == org] == [0, 0]
    nobody = server.cli("stations", "revoke", "nowhere", "--org", org, "--json")
    assert (nobody.returncode, told(nobody)["error"]["code"]) == (1, "not_found")
