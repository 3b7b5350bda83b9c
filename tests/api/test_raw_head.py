"""What is refused without the parser is exactly what the parser would have taken for one whole request."""

from typing import Any

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lostid.api.raw_head import whole_check

GOOD = (
    b"POST /v1/checks HTTP/1.1\r\nHost: lostid\r\nAuthorization: Bearer lid_live_Ab\r\n"
    b"Content-Type: application/json\r\nRequest-Id: booking-1\r\nAccept-Language: zh\r\nContent-Length: 2\r\n\r\n{}"
)


class Heard:
    """What the parser makes of some bytes."""

    def __init__(self, data: bytes) -> None:
        self.begun = self.complete = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.parser: Any = httptools.HttpRequestParser(self)
        self.parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.begun += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete += 1


def test_an_ordinary_check() -> None:
    raw = whole_check(GOOD)
    assert raw is not None
    assert raw.authorization == b"Bearer lid_live_Ab"
    assert (raw.request_id, raw.accept_language, raw.batch, raw.size) == (b"booking-1", b"zh", False, 2)
    batch = whole_check(GOOD.replace(b"/checks", b"/checks/batch"))
    assert batch is not None
    assert batch.batch


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"{}", b"{"),
        (b"{}", b"{}GET / HTTP/1.1\r\n\r\n"),
        (b"Content-Length: 2", b"Content-Length: 2\r\nContent-Length: 2"),
        (b"Content-Length: 2", b"Content-Length: +2"),
        (b"Content-Length: 2", b"Content-Length : 2"),
        (b"Content-Length: 2", b"X: a\r\n Content-Length: 2"),
        (b"Content-Length: 2", b"X: a\nContent-Length: 2"),
        (b"Content-Length: 2", b"Transfer-Encoding: chunked\r\nContent-Length: 2"),
        (b"Content-Length: 2", b"Expect: 100-continue\r\nContent-Length: 2"),
        (b"Content-Length: 2", b"Connection: close\r\nContent-Length: 2"),
        (b"Content-Length: 2", b"Connection:Close\r\nContent-Length: 2"),
        (b"Content-Length: 2", b"Connection: keep-alive, close\r\nContent-Length: 2"),
        (b"Content-Length: 2", b"Connection: keep-alive\r\nConnection: close\r\nContent-Length: 2"),
        (b"Content-Length: 2", b"Authorization: Bearer x\r\nContent-Length: 2"),
        (b"POST", b"GET"),
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"/checks ", b"/checks?x "),
    ],
)
def test_what_is_left_to_the_parser(old: bytes, new: bytes) -> None:
    assert whole_check(GOOD.replace(old, new, 1)) is None


PIECES = st.sampled_from(
    [b"Content-Length: ", b"2", b"12", b"\r\n", b"\n", b"\r", b" ", b":", b"{}", b"Transfer-Encoding: chunked", b"X: y",
     b"Authorization: ", b"connection:close", b"\r\n\r\n", b"\t", b"0", b"content-length:"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=8), st.integers(0, len(GOOD)), st.integers(0, 30))
@settings(max_examples=400)
def test_framed_as_the_parser_frames_it(pieces: list[bytes], at: int, cut: int) -> None:
    """Whatever is put in or left out: what counts as one whole request is one to the parser too, or none that it
    would have answered; never the beginning of another."""
    data = GOOD[:at] + b"".join(pieces) + GOOD[at + cut :]
    raw = whole_check(data)
    if raw is None:
        return
    try:
        heard = Heard(data)
    except httptools.HttpParserError:
        return
    assert (heard.begun, heard.complete) == (1, 1)
    assert len(heard.body) == raw.size
    assert heard.headers.get(b"authorization", b"").strip() == (raw.authorization or b"")
