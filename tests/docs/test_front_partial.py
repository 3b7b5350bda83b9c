"""What comes in parts, in the recommended front's line for it: before a host that answers when it is told to."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.fronting import CHANGES, Front, begun, fronted, received
from tests.waiting import wait_for

ADDRESSES = [f"127.0.0.{last}" for last in range(2, 14)]
"""Twelve, of this machine's own; each may hold two places."""


@pytest.fixture
def found(tmp_path: Path) -> Iterator[Front]:
    with fronted(tmp_path) as one:
        yield one


def heard_by_the_host(found: Front, requests: int) -> None:
    wait_for(lambda: len(found.host.heard) == requests, 20, f"{requests} to have reached the host")


def test_an_address_without_a_key_has_two_places(found: Front) -> None:
    for made_up in ("one", "another"):
        found.begin(made_up)
    heard_by_the_host(found, 2)
    assert received(found.begin("a-third"))[0] == 503
    found.begin("a-fourth", source=ADDRESSES[0])
    heard_by_the_host(found, 3)


def test_all_addresses_without_a_key_have_24_places(found: Front) -> None:
    """The rest is left for keys that are known."""
    found.introduce("known-desk")
    found.host.heard.clear()
    for address in ADDRESSES:
        for place in range(2):
            found.begin(f"made-up-{place}", source=address)
    heard_by_the_host(found, 24)
    assert received(found.begin("made-up", source="127.0.0.14"))[0] == 503
    found.begin("known-desk", source="127.0.0.14")
    heard_by_the_host(found, 25)


def test_a_known_key_has_32_places(tmp_path: Path) -> None:
    with fronted(tmp_path, {**CHANGES, "default-server maxconn 32": "default-server maxconn 40"}) as found:
        found.introduce("known-desk", "known-other")
        found.host.heard.clear()
        for place in range(32):
            found.begin("known-desk", source=ADDRESSES[place % len(ADDRESSES)])
        heard_by_the_host(found, 32)
        assert received(found.begin("known-desk"))[0] == 503
        found.begin("known-other")
        heard_by_the_host(found, 33)


def test_a_network_of_ipv6_is_one_address(tmp_path: Path) -> None:
    """Whoever has one address has 2 to the power of 64 of them. The front is told of addresses that are not ours."""
    proxied = tmp_path / "proxied.sock"
    table = "    stick-table type ipv6 size 100k expire 30s store conn_cur,conn_rate(1s)"
    with fronted(tmp_path, CHANGES | {table: f"    bind {proxied} accept-proxy\n{table}"}) as found:

        def begin(source: str) -> socket.socket:
            connection = found.ends.enter_context(socket.socket(socket.AF_UNIX))
            connection.settimeout(20)
            connection.connect(str(proxied))
            connection.sendall(f"PROXY TCP6 {source} 2001:db8::ffff 1000 443\r\n".encode() + begun("made-up"))
            return connection

        for source in ("2001:db8:0:1::1", "2001:db8:0:1:2::2"):
            begin(source)
        heard_by_the_host(found, 2)
        assert received(begin("2001:db8:0:1:3::3"))[0] == 503
        begin("2001:db8:0:2::1")
        heard_by_the_host(found, 3)


def test_rows_may_take_longer_than_anything_else(tmp_path: Path) -> None:
    """A host that is busy with the rows of an import is waited for; with anything else it is not."""
    usual = "    timeout server 30s\n    timeout check"
    with fronted(tmp_path, {usual: usual.replace("30s", "1s"), **CHANGES}) as found:
        found.introduce("known-import", "known-police")
        found.host.heard.clear()
        rows = found.raw(begun("known-import", "PUT", "/v1/imports/imp_1/rows"))
        heard_by_the_host(found, 1)
        status, _, body = received(found.begin("known-police"))
        assert (status, json.loads(body)["code"]) == (503, "ledger_unavailable")
        rows.sendall(b" " * 175_000)
        assert found.host.next() == "known-import"
        assert received(rows)[0] == 200
