"""The operators' page: the engines know their settings, all that can be watched has its line. The front: test_front."""

import re
from pathlib import Path

import httpx
import psycopg
import redis

from lostid.engines.valkey import SOCKET
from tests.conftest import Engines
from tests.serving import Server, run_cli

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
BLOCKS = dict(re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))


def settings_in(block: str) -> dict[str, str]:
    """Name and value of each line."""
    return dict(re.findall(r"^(\S+)(?: = | )(\S+)$", BLOCKS[block], re.MULTILINE))


def test_every_block_is_known() -> None:
    """Each is run or applied by a test below."""
    assert set(BLOCKS) == {"ini", "conf", "sh"}
    assert len(re.findall(r"^```\w+$", PAGE, re.MULTILINE)) == len(BLOCKS)


def test_postgresql_settings(postgres_dsn: str) -> None:
    """PostgreSQL knows them, and takes the values."""
    with psycopg.connect(postgres_dsn, autocommit=True) as conn:
        for name, value in settings_in("ini").items():
            conn.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
            conn.execute(f"ALTER SYSTEM RESET {name}".encode())


def test_redis_settings(engines: Engines) -> None:
    client = redis.Redis(unix_socket_path=str(engines.valkey.sockets / SOCKET))
    for name, value in settings_in("conf").items():
        before = str(client.config_get(name)[name])
        assert client.config_set(name, value)
        client.config_set(name, before)
    client.close()


def test_doctor(server: Server) -> None:
    assert BLOCKS["sh"] == "./run doctor\n"
    done = run_cli(["doctor"], server.environment, "", server.directory)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stdout


def test_all_that_can_be_watched(server: Server) -> None:
    """Every metric and every part of readyz has its line."""
    text = httpx.get(f"{server.url}/metrics").text
    names = {
        name + ("_total" if kind == "counter" and not name.endswith("_total") else "")
        for name, kind in re.findall(r"^# TYPE (\S+) (\w+)$", text, re.MULTILINE)
    }
    assert "lostid_checks_total" in names
    assert names == set(re.findall(r"`(lostid_[a-z_]+)`(?=[^\n]*\|[^\n]*\|)", PAGE))
    parts = set(httpx.get(f"{server.url}/readyz").json()) - {"ready"}
    assert parts == set(re.findall(r"^\| `(lease|filter|ledger|registry|[a-z]+)` \| [^|]+ \| [^|]+ \|$", PAGE, re.M))


def test_readme_leads_to_every_page() -> None:
    root = Path(__file__).parents[2]
    linked = set(re.findall(r"\]\(docs/([\w-]+\.md)\)", (root / "README.md").read_text()))
    assert linked == {page.name for page in (root / "docs").glob("*.md")}
