"""Files of reports through the library, against a real registry."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from lostid_client import AsyncClient, Client, ImportBroken, InvalidRequest, NotAuthorised
from lostid_client.flow import LineBroken, Pause, Reply, Send
from lostid_client.imports import ATTEMPTS, import_file
from tests.clients.cutting import cut_line
from tests.clients.desks import Town, soon
from tests.importing import HEADER, numbers, rows_of

ROWS = 2_000
FROM: Any = {"operator": "op-1", "source": "old-register"}


@pytest.fixture(scope="module")
def key(town: Town) -> str:
    return town.server.key("importer", "checker", org="desk-imports", station="s-1", operator="op-1")


@pytest.fixture
def file(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Rows of people of its own."""
    path = tmp_path / "rows.csv"
    seed = int.from_bytes(hashlib.sha256(request.node.name.encode()).digest()[:4], "big")
    path.write_text(HEADER + "\r\n" + rows_of(numbers(ROWS, seed)) + "cn.resident-id,nonsense,,lost,A-1\r\n")
    return path


def test_a_file(town: Town, key: str, file: Path) -> None:
    """Sent, counted, released; its progress ends at its size."""
    heard: list[tuple[int, int]] = []
    with town.client(key) as client:
        sent = client.import_file(
            file,
            **FROM,
            sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
            progress=lambda done, size: heard.append((done, size)),
        )
        assert (sent.state, sent.counts["accepted"], sent.counts["rejected"]) == ("received", ROWS, 1)
        size = file.stat().st_size
        assert heard[-1] == (size, size)
        assert heard == sorted(heard)
        assert len(heard) > 1
        assert client.release_import(sent.id, operator="op-1").state == "released"
        done = soon(lambda: client.import_status(sent.id), lambda told: told.state == "released", 60)
        assert done.counts["in_force"] == ROWS


def test_sent_again_after_a_break(town: Town, key: str, file: Path) -> None:
    """Cut in the middle of the rows, twice: every line counts once."""
    with (
        cut_line(town.server.port, after=60_000, times=2) as (url, left),
        Client(url, key, on_unavailable="refuse") as client,
    ):
        sent = client.import_file(file, **FROM)
    assert left == [0]
    assert (sent.state, sent.counts["accepted"], sent.counts["rejected"]) == ("received", ROWS, 1)


async def test_goes_on_in_another_process(town: Town, key: str, file: Path) -> None:
    """What was never sent to its end goes on by its id, from asyncio here."""
    with (
        cut_line(town.server.port, after=60_000, times=ATTEMPTS) as (url, _),
        Client(url, key, on_unavailable="refuse") as client,
        pytest.raises(ImportBroken) as broken,
    ):
        client.import_file(file, **FROM)
    async with AsyncClient(town.url, key, on_unavailable="refuse") as again:
        heard: list[int] = []
        sent = await again.import_file(
            file, **FROM, import_id=broken.value.import_id, progress=lambda done, size: heard.append(size - done)
        )
    assert (sent.id, sent.state, sent.counts["accepted"]) == (broken.value.import_id, "received", ROWS)
    assert heard[-1] == 0


def test_refused(town: Town, key: str, tmp_path: Path) -> None:
    """Wrong columns, another file than declared, a key that may not: told, and not tried again."""
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("kind,no\r\n")
    good = tmp_path / "good.csv"
    good.write_text(HEADER + "\r\n" + rows_of(numbers(1, 77)))
    with town.client(key) as client, town.client(town.checker) as stranger:
        for path, sha256 in ((wrong, None), (good, "00" * 32)):
            with pytest.raises(InvalidRequest) as refused:
                client.import_file(path, **FROM, sha256=sha256)
            assert refused.value.code == "invalid"
        with pytest.raises(NotAuthorised):
            stranger.import_file(good, **FROM)


def test_a_sending_that_is_still_held(town: Town, tmp_path: Path) -> None:
    """After a break the server may hold the last sending for a moment: not ready is then no end, but a wait."""
    with town.client(town.checker) as client:
        flow = import_file(client.session, tmp_path / "x.ndjson", **FROM, import_id="imp_1")
        first = next(flow)
        assert isinstance(first, Send)
        assert first.upload is not None
        assert first.upload.media == "application/x-ndjson"
        assert isinstance(flow.throw(LineBroken("unreachable")), Pause)
        flow.send(None)
        held = {"code": "invalid", "errors": [{"pointer": "/state", "code": "import_not_ready"}]}
        assert isinstance(flow.send(Reply(422, {}, held)), Pause)
        flow.send(None)
        with pytest.raises(StopIteration) as done:
            flow.send(Reply(202, {}, {"id": "imp_1", "state": "received"}))
        assert done.value.value.state == "received"
    fresh = import_file(client.session, tmp_path / "x.csv", **FROM, import_id="imp_1")
    next(fresh)
    with pytest.raises(InvalidRequest):
        fresh.send(Reply(422, {}, held))
