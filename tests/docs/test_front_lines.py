"""How the recommended front lines requests up, and whom it refuses: before a host that answers when it is told to.

What it reckons with is made small (`fronting.CHANGES`): a host takes one check at a time, and one more request of a key
counts as a second of waiting, so that no pause of this machine changes the order."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lostid.api.problems import Problem, render
from tests.clients.desks import number
from tests.docs.fronting import BATCH, CHECK, REPORT, Front, Host, before, fronted, received
from tests.serving import free_port
from tests.waiting import wait_for


@pytest.fixture
def found(tmp_path: Path) -> Iterator[Front]:
    with fronted(tmp_path) as one:
        yield one


def test_who_has_least_under_way_is_next(found: Front) -> None:
    """Whoever asks much waits behind who asks little, also where it came first."""
    found.introduce("known-greedy", "known-modest")
    found.fill(*["known-greedy"] * 5, "known-modest")
    assert [found.host.next() for _ in range(6)] == ["known-greedy", "known-modest", *["known-greedy"] * 4]


def test_strangers_are_all_one(found: Front) -> None:
    """Made-up keys, each another, do not come before a key that a host has answered."""
    found.introduce("known-desk")
    strangers = [f"stranger-{place}" for place in range(5)]
    found.fill(*strangers, "known-desk")
    assert [found.host.next() for _ in range(6)] == [strangers[0], "known-desk", *strangers[1:]]
    found.fill(*strangers, "known-desk")  # having been refused has made none of them known
    assert [found.host.next() for _ in range(6)] == [strangers[0], "known-desk", *strangers[1:]]


def test_a_key_is_one_however_its_header_is_written(found: Front) -> None:
    """What a host takes for one key is one here: else a key that is written in many ways had as many shares."""
    found.introduce("known-greedy", "known-modest")
    found.fill("known-greedy")
    ways = (
        "bearer known-greedy",
        "BEARER  known-greedy",
        "Bearer\tknown-greedy",
        "Bearer \t known-greedy\t",
        "Bearer known-greedy ",
    )
    for written in ways:
        found.send("", Authorization=written)
    found.await_waiting(len(ways))
    found.send("known-modest")
    found.await_waiting(len(ways) + 1)
    assert [found.host.next() for _ in range(3)] == ["known-greedy", "known-modest", "known-greedy"]


def test_a_key_that_was_revoked_is_a_stranger(found: Front) -> None:
    found.introduce("known-desk", *[f"known-{place}" for place in range(5)])
    revoked = [f"known-{place}" for place in range(5)]
    found.host.revoked.update(revoked)
    for key in revoked:
        asked = found.send(key)
        assert found.host.next() == key
        assert received(asked)[0] == 401
    found.fill(*revoked, "known-desk")
    assert [found.host.next() for _ in range(6)] == [revoked[0], "known-desk", *revoked[1:]]


def test_what_strangers_read_is_not_in_the_way_of_what_they_write(found: Front) -> None:
    """The log is public: whoever reads it a lot must not keep those from writing whom the front does not know yet."""
    keys = [f"known-{place}" for place in range(9)]
    found.introduce(*keys)
    found.fill(*keys, path=REPORT)
    found.host.holds_reads = True
    for _ in range(5):
        found.send("known-reader", "/v1/log/checkpoint", "GET")
    wait_for(lambda: found.host.asked.qsize() == 1 + 5, 20, "the readers to be let through")
    found.send("known-officer", REPORT)
    found.await_waiting(len(keys), REPORT)


def test_what_anybody_may_read_makes_no_key_known(found: Front) -> None:
    """The log is public where the operator wants it; a key that was made up is answered there like any other."""
    found.introduce("known-desk")
    readers = [f"known-reader-{place}" for place in range(5)]
    for reader in readers:
        assert received(found.send(reader, "/v1/log/checkpoint", "GET"))[0] == 200
    found.fill(*readers, "known-desk")
    assert [found.host.next() for _ in range(6)] == [readers[0], "known-desk", *readers[1:]]


def test_a_body_that_does_not_come_holds_no_place(found: Front) -> None:
    """More of it than the front keeps, and then nothing: who does that is soon refused; checks and reports go on. Of
    what the front can keep no host hears before it is whole."""
    found.introduce("known-desk")
    head = "HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer"
    begun = f"Content-Length: 200000\r\n\r\n{' ' * 25_000}"
    chunked = "Transfer-Encoding: chunked\r\n\r\n" + f"{1_000:x}\r\n{' ' * 1_000}\r\n" * 25
    small = found.raw(f"POST {CHECK} {head} slow\r\nContent-Length: 9\r\n\r\n".encode())
    for rest in (begun, chunked):
        found.raw(f"POST {CHECK} {head} made-up\r\n{rest}".encode())
    wait_for(lambda: len(found.host.heard) == 1 + 2, 20, "both to have reached the host")
    for path in (CHECK, BATCH, REPORT):
        assert received(found.raw(f"POST {path} {head} made-up-too\r\n{begun}".encode()))[0] == 503
    for path in (CHECK, REPORT):
        asked = found.send("known-desk", path)
        assert found.host.next() == "known-desk"
        assert received(asked)[0] == 200
    small.sendall(b" " * 9)
    assert found.host.next() == "slow"


def test_rows_may_be_long_in_coming(found: Front) -> None:
    """An import's rows go on as they come: a host allows ten seconds between two parts, not for the first of them."""
    rows = found.raw(b"PUT /v1/imports/imp_1/rows HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
    wait_for(lambda: len(found.host.heard) == 1, 20, "the host to hear of them")
    rows.sendall(b" " * 9)
    assert found.host.next() == "stranger"
    assert received(rows)[0] == 401


def test_no_second_version_of_http(found: Front) -> None:
    """A stream of HTTP/2 that was never ended kept its place at a host until HAProxy was restarted."""
    assert b" 400 " in found.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)).recv(65536)


def test_an_escape_hides_no_path(found: Front) -> None:
    """A host takes `%63` for `c`: the line of checks, and what stays inside, would be found by no rule."""
    for method, path in (("POST", "/v1/%63hecks"), ("GET", "/%72eadyz"), ("GET", "/readyz"), ("GET", "/metrics")):
        status, headers, body = received(found.send("known-desk", path, method))
        problem = json.loads(body)
        assert (status, headers["content-type"]) == (404, "application/problem+json")
        assert problem == json.loads(render(Problem("not_found"), problem["request_id"], zh=False).body)


def test_who_has_gone_is_not_asked_for(found: Front) -> None:
    found.introduce("known-desk", "known-other")
    gone = found.fill(*["known-desk"] * 4, "known-other")[1:4]
    for connection in gone:
        connection.close()
    found.await_waiting(1)
    assert [found.host.next() for _ in range(2)] == ["known-desk", "known-other"]


def test_the_host_hears_where_a_caller_is(found: Front) -> None:
    """As the front sees it, not as the caller says."""
    found.introduce("known-desk")
    found.send("known-desk", X_Forwarded_For="10.1.2.3", Upgrade="h2c")
    assert found.host.next() == "known-desk"
    heard = found.host.heard[-1]
    assert (heard.get_all("X-Forwarded-For"), heard["Upgrade"]) == (["127.0.0.1"], None)


@pytest.mark.parametrize("path", [CHECK, BATCH, REPORT])
def test_who_has_most_under_way_is_refused_first(found: Front, path: str) -> None:
    found.introduce("known-greedy", "known-modest")
    found.fill(*["known-greedy"] * 9, path=path)
    assert received(found.send("known-greedy", path))[0] == 503
    modest = found.send("known-modest", path)
    assert [found.host.next() for _ in range(2)] == ["known-greedy", "known-modest"]
    assert received(modest)[0] == 200


@pytest.mark.parametrize("path", [CHECK, BATCH])
def test_everybody_is_refused_when_too_many_wait(found: Front, path: str) -> None:
    keys = [f"known-{place}" for place in range(14)]
    found.introduce(*keys, "known-last")
    found.fill(*keys, path=path)
    assert received(found.send("known-last", path))[0] == 503


def test_a_refusal_is_the_one_of_the_hosts(found: Front) -> None:
    """The problem that a host would send, in both languages; the request's own id, unless a number may be in it."""
    found.introduce("known-greedy")
    found.fill(*["known-greedy"] * 9)
    languages = {"zh-CN,zh;q=0.9": True, "zh": True, "en": False, "en, zh;q=0.1": False, "zh;q=0": False, "": False}
    for language, zh in languages.items():
        status, headers, body = received(found.send("known-greedy", Request_Id="desk_0001", Accept_Language=language))
        expected = render(Problem("overloaded"), "desk_0001", zh=zh)
        assert (status, json.loads(body)) == (expected.status, json.loads(expected.body))
        wanted = {name.decode(): value.decode() for name, value in expected.headers}
        for name in ("content-type", "request-id", "retry-after", "cache-control"):
            assert headers[name] == wanted[name]
    card = number()
    numbered = (card, f"{card[:6]}-{card[6:14]}_{card[14:]}", f"abcdefgh,{card[:6]} {card[6:]}")
    hurtful = ('x"y\\zzzzzzz', 'abcdefgh, x"y\\', 'abcdefgh\r\nRequest-Id: e","code":"clear')
    for sent in (*numbered, *hurtful, "a b c d e f", "short"):
        _, headers, body = received(found.send("known-greedy", Request_Id=sent))
        assert re.fullmatch(r"req_[0-9a-f-]{36}", headers["request-id"])
        assert json.loads(body)["request_id"] == headers["request-id"]
        assert sent.encode() not in body


def test_no_line_waits_for_another(found: Front) -> None:
    """Checks, batches, what else writes, and what only reads."""
    found.introduce("known-desk")
    found.fill(*["known-desk"] * 5)
    assert found.host.asked.get(timeout=20) == "known-desk"
    for path in (BATCH, REPORT):
        found.send("known-police", path)
        assert found.host.asked.get(timeout=20) == "known-police"
    found.send("known-police", REPORT)
    found.await_waiting(1, REPORT)
    assert received(found.send("known-auditor", "/v1/log/checkpoint", "GET"))[0] == 200


def test_a_host_that_is_not_ready_is_left_by_all_lines(found: Front) -> None:
    found.host.ready = False
    for line in ("checks", "batches", "control", "reads", "partial"):
        found.await_down(line)
    assert received(found.send("known-desk"))[0] == 503


def test_without_a_host(tmp_path: Path) -> None:
    """Nobody is there: a 503 of the same form, after the front has tried."""
    with before(free_port(), Host(), tmp_path) as found:
        status, headers, body = received(found.send("known-desk", Request_Id="desk_0001"))
    assert (status, headers["retry-after"], headers["content-type"]) == (503, "1", "application/problem+json")
    assert headers["request-id"] == "desk_0001"
    assert json.loads(body) == json.loads(render(Problem("overloaded"), "desk_0001", zh=False).body)


def test_a_host_that_breaks_off(found: Front) -> None:
    """No 502: that is no code of the contract. What became of the request nobody knows; only where it does no harm does
    the front itself send it again."""
    times = {("POST", CHECK, ""): 3, ("POST", REPORT, "key-1"): 3, ("POST", REPORT, ""): 1, ("PUT", REPORT, "key-1"): 1}
    for (method, path, key), expected in times.items():
        found.host.heard.clear()
        more = {"Idempotency_Key": key} if key else {}
        status, headers, body = received(found.send("breaks-off", path, method, **more))
        assert (status, headers["retry-after"], len(found.host.heard)) == (503, "1", expected)
        problem = json.loads(body)
        assert problem == json.loads(render(Problem("ledger_unavailable"), problem["request_id"], zh=False).body)
