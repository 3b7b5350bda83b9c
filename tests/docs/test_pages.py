"""The pages for users: every block of shell or Python is run, in order, and prints what the block after it shows."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from lostid.ledger.apikeys import NewKey
from tests.clients.desks import card, soon
from tests.serving import Server

ROOT = Path(__file__).parents[2]
PAGES = ("hotel", "bank", "rail", "mirror", "police", "load-testing", "sandbox")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)

Keys = dict[str, str]


@pytest.fixture(scope="session")
def keys(server: Server) -> Keys:
    """Test keys for the readers of each page, once receipts are signed."""
    checker = server.key("checker", env="test", org="reader")
    officer = server.key("reporter", env="test", org="city-police", station="st-12", operator="officer-117")
    approver = server.key("approver", env="test", org="city-police", station="st-40", operator="officer-204")
    question = {"document": card().json(), "operator": "desk-1", "purpose": "other", "receipt": True}
    soon(
        lambda: server.ask("POST", "/v1/checks", question, Authorization=f"Bearer {checker}"),
        lambda answer: answer[0] == 200,
    )
    mirror_id, mirror = server.new_key(NewKey("live", "reader", ("mirror", "checker")))
    return {
        "checker": checker,
        "police": officer,
        "approver": approver,
        "mirror": mirror,
        "mirror_secret": server.cli("keys", "mirror-secret", mirror_id).stdout.strip(),
    }


@pytest.fixture(scope="session")
def reported_before(server: Server) -> None:
    """The mirrors' page knows of an old card: mirrors have no sandbox, so this one is of the live registry."""
    police = server.key("reporter", org="reader-police", station="st-12", operator="officer-117")
    document = {"type": "cn.resident-id", "number": "990000198506120129", "valid_from": "2010-01-01"}
    report = {"document": document, "reason": "lost", "operator": "officer-117", "case_number": "A-1"}
    soon(
        lambda: server.ask("POST", "/v1/reports", report, Authorization=f"Bearer {police}", Idempotency_Key="page-1"),
        lambda answer: answer[0] == 201,
    )


def checkout(folder: Path) -> None:
    """What a reader has: `./run`, the clients and a python that finds the library."""
    for name in ("clients", "loadtest"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "run").write_text(
        f'#!/bin/sh\nif [ "$1" = loadtest ]; then shift; exec {sys.executable} -m lostid_load "$@"; fi\n'
        f'exec {sys.executable} -m lostid "$@"\n'
    )
    (folder / "run").chmod(0o755)
    (folder / "bin").mkdir()
    (folder / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (folder / "bin" / "python").chmod(0o755)


def pattern(shown: str) -> re.Pattern[str]:
    """A line of the page; `...` stands for anything."""
    return re.compile(".*".join(re.escape(part) for part in shown.split("...")))


@pytest.mark.usefixtures("reported_before")
@pytest.mark.parametrize("page", PAGES)
def test_page(page: str, server: Server, keys: Keys, tmp_path: Path) -> None:
    """What the page says happens, happens."""
    checkout(tmp_path)
    environ = server.environment | {
        "LOSTID_URL": server.url,
        "LOSTID_KEY": keys.get(page, keys["checker"]),
        "LOSTID_APPROVER_KEY": keys["approver"],
        "LOSTID_MIRROR_KEY": keys["mirror"],
        "LOSTID_MIRROR_SECRET": keys["mirror_secret"],
        "LOSTID_QUEUE_KEY": "11" * 32,
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT / 'clients' / 'lostid_client'}:{ROOT / 'loadtest'}",
        "COLUMNS": "160",
    }
    printed: list[str] = []
    blocks = BLOCK.findall((ROOT / "docs" / f"{page}.md").read_text())
    assert blocks
    for language, text in blocks:
        if language == "text":
            for shown in text.splitlines():
                place = next((at for at, line in enumerate(printed) if pattern(shown).fullmatch(line)), None)
                assert place is not None, f"{shown!r} is not in {printed}"
                del printed[: place + 1]
            continue
        script = text if language == "sh" else f"python -c {shlex.quote(text)}"
        assert language in ("sh", "python")
        done = subprocess.run(
            ["/bin/sh", "-c", script],
            env=environ, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=100, check=False,
        )  # fmt: skip
        assert done.returncode in (0, 1), done.stdout  # 1: an adverse answer
        assert "Traceback" not in done.stdout
        printed = done.stdout.splitlines()
