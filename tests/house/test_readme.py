"""The README's examples do what it says they do, on a real server."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from lostid.settings import Settings

README = (Path(__file__).parents[2] / "README.md").read_text()
STATES = re.compile(r"\b(clear|reported|void|indeterminate|in_force)\b")


@dataclass(frozen=True)
class Checkout:
    """A folder in which `./run` is lostid, and a server that it speaks to."""

    folder: Path
    url: str
    environ: dict[str, str]

    def sh(self, script: str) -> str:
        return subprocess.run(
            ["/bin/sh", "-eu", "-c", script],
            cwd=self.folder,
            env=self.environ,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    folder = tmp_path_factory.mktemp("checkout")
    # `run` without `set -e` semantics of its own: an adverse answer is exit code 1, and the examples go on after it. No
    # answer in time (3) is asked for again, as it says: machines that run tests are busy.
    (folder / "run").write_text(
        "#!/bin/sh\n"
        "case \" $* \" in *' - '*) said=$(cat) ;; esac\n"
        "code=3\n"
        f'while [ $code -eq 3 ]; do echo "$said" | "{sys.executable}" -m lostid "$@"; code=$?; done\n'
        "[ $code -le 1 ]\n"
    )
    (folder / "run").chmod(0o755)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LOSTID_")}
    environ["LOSTID_DATA_DIR"] = str(folder / "data")
    command = [sys.executable, "-m", "lostid", "serve", "--port", "0", "--workers", "1", "--json"]
    with subprocess.Popen(command, cwd=folder, env=environ, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = json.loads(server.stdout.readline())["url"]
            yield Checkout(folder, url, environ | {"LOSTID_URL": url})
        finally:
            server.terminate()
            server.wait(30)
            shutil.rmtree(Settings(data_dir=folder / "data").run_dir, ignore_errors=True)


def test_by_hand(checkout: Checkout) -> None:
    """The table {old card, replacement, no instance} x {before, after} comes out as the comments say."""
    (script,) = re.findall(r"^## By hand$.*?^```sh$(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    expected = re.findall(r"# (\w+)$", script, re.MULTILINE)
    assert expected == ["clear", "in_force", "reported", "clear", "indeterminate"]
    assert STATES.findall(checkout.sh(script)) == expected


def test_first_example(checkout: Checkout) -> None:
    """The call on the first screen is answered with the fields that are shown under it."""
    (path, body, answer) = re.search(
        r"curl -s localhost:8080(\S+) .*?-d '(.*?)'\n(\{.*?\})\n", README, re.DOTALL
    ).groups()  # type: ignore[union-attr]
    made = checkout.sh("./run keys create --org hotel --role checker --json")
    reply = httpx.post(
        checkout.url + path,
        content=body.replace("990000198506120022", "990000198506120030"),
        headers={"Authorization": f"Bearer {json.loads(made)['key']}", "Content-Type": "application/json"},
    )
    assert reply.status_code == 200
    shown = dict(re.findall(r'"(\w+)": ("[^"]*"|\d+)', answer))
    assert reply.json().keys() >= shown.keys()
    assert [reply.json()[name] for name in ("status", "advice")] == [
        json.loads(shown[name]) for name in ("status", "advice")
    ]
