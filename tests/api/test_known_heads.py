"""A head that was read before means the same request again, and nothing else does."""

import json

import pytest

from lostid.api.known_heads import Known, KnownHeads
from lostid.api.problems import Answer
from lostid.api.raw_head import RawCheck
from lostid.api.steps import Head
from tests.api.raw import answer, connected, request
from tests.api.serving import Key, Served, check_of, resident

HEAD = b"POST /v1/checks HTTP/1.1\r\nHost: lostid\r\nContent-Length: 2\r\n\r\n"


def decide(_: Head, __: bytes) -> Answer:
    return Answer(200, b"", b"")


RAW = RawCheck(None, None, b"", False, 2)
KNOWN = Known(b"/v1/checks", decide, {b"host": b"lostid", b"content-length": b"2"}, 2, RAW)


@pytest.fixture
def heads() -> KnownHeads:
    made = KnownHeads()
    made.learn(HEAD + b"{}", KNOWN)
    return made


def test_the_same_head(heads: KnownHeads) -> None:
    assert heads.of(HEAD + b"[]") == KNOWN


@pytest.mark.parametrize(
    "data",
    [
        b"",
        HEAD,
        HEAD + b"{",
        HEAD + b"{}\n",
        HEAD + b"{}" + HEAD + b"{}",
        b"\r\n" + HEAD + b"{}",
        HEAD[:-2] + b"X: y\r\n\r\n{}",
        HEAD.replace(b"Host", b"host") + b"{}",
        HEAD.replace(b": 2", b": 3") + b"{ }",
    ],
)
def test_anything_else(heads: KnownHeads, data: bytes) -> None:
    assert heads.of(data) is None


@pytest.mark.parametrize(
    ("data", "known"),
    [
        (b"\r\n\r\n" + HEAD + b"{}", KNOWN),  # the first empty line is not the head's end
        (HEAD + b"{}" + HEAD + b"{}", KNOWN),
        (HEAD + b"{}", KNOWN._replace(head={b"request-id": b"booking-1"})),
        (HEAD[:-2] + b"X: " + b"y" * 1_024 + b"\r\n\r\n{}", KNOWN),
    ],
)
def test_not_learnt(data: bytes, known: Known) -> None:
    heads = KnownHeads()
    heads.learn(data, known)
    end = data.find(b"\r\n\r\n") + 4
    assert heads.of(data[:end] + b"{}") is None


def test_bounded() -> None:
    heads = KnownHeads()
    data = [HEAD.replace(b"lostid", b"host-%d" % number) + b"{}" for number in range(3_000)]
    for each in data:
        heads.learn(each, KNOWN)
    assert sum(heads.of(each) is not None for each in data) <= 1_024
    assert heads.of(data[-1]) is not None


def test_another_body_under_a_known_head(server: Served, checker: Key) -> None:
    """Each request is answered for its own body."""
    allowed = (f"Authorization: Bearer {checker.secret}", "Content-Type: application/json")
    good = json.dumps(check_of(resident())).encode()
    with connected(server) as connection:
        for body, status in ((good, b"200"), (good, b"200"), (good[:-1] + b" ", b"400"), (good, b"200")):
            connection.sendall(request("/v1/checks", body, *allowed))
            assert answer(connection).split(b" ", 2)[1] == status


def test_nothing_is_answered_behind_a_refusal(server: Served, checker: Key) -> None:
    """Not even what would be known."""
    allowed = (f"Authorization: Bearer {checker.secret}", "Content-Type: application/json")
    raw = request("/v1/checks", json.dumps(check_of(resident())).encode(), *allowed)
    with connected(server) as connection:
        for _ in range(3):
            connection.sendall(raw)
            assert b" 200 " in answer(connection)
        connection.sendall(b"?\r\n\r\n")
        assert b" 400 " in answer(connection)
        connection.sendall(raw)
        assert answer(connection) == b""
