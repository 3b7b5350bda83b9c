"""`lostid serve` on one data directory over its life: once at a time, refused by name, the same after every start."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from lostid.engines.postgres import embedded_dsn
from lostid.engines.procs import DataDirLock
from lostid.secrets import NAMES
from lostid_client import Mirror
from tests.serving import Server, environment, run_cli, told
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def serving() -> Iterator[Server]:
    with Server(workers=1) as running:
        yield running


def serve(server: Server, *argv: str) -> subprocess.CompletedProcess[str]:
    """Another start with the same settings, to its end."""
    return run_cli(("serve", "--json", "--port", "0", *argv), server.environment, "", server.directory)


def test_second_server(serving: Server) -> None:
    """A second server on the same data directory is refused in a clear sentence; the first does not notice."""
    done = serve(serving)
    assert (done.returncode, told(done)["error"]["code"]) == (2, "data_dir_in_use")
    assert str(serving.settings.data_dir) in told(done)["error"]["detail"]
    assert serving.ready()


def test_port_taken(serving: Server, tmp_path: Path) -> None:
    """A port that somebody has is named, and the data directory is free again."""
    argv = ("serve", "--json", "--port", str(serving.port))
    done = run_cli(argv, environment(data_dir=str(tmp_path / "data")), "", tmp_path)
    assert (done.returncode, told(done)["error"]["code"]) == (2, "cannot_listen")
    DataDirLock(tmp_path / "data").release()


def test_doctor_beside_a_server(serving: Server) -> None:
    """Beside a running server doctor looks at its engines."""
    done = serving.cli("doctor", "--json")
    states = {entry["check"]: entry["state"] for entry in told(done)["checks"]}
    assert done.returncode == 0
    assert states["ledger"] == states["registry"] == states["secrets"] == states["server"] == "ok"


def test_worker_killed_with_lines(serving: Server) -> None:
    """What a killed worker had not yet written to the journal is counted: never silent."""
    key = serving.key("checker", org="inn")
    card = {"type": "cn.passport", "number": "E12345678"}
    body = {"document": card, "operator": "desk-1", "purpose": "other"}

    def check() -> bool:
        return serving.ask("POST", "/v1/checks", body, Authorization=f"Bearer {key}")[0] == 200

    wait_for(check, 30, "an answer")
    writer = journal_backend(serving)
    os.kill(writer, signal.SIGSTOP)  # what is noted from now on is not committed
    try:
        held = sum(check() for _ in range(20))
        (worker,) = serving.children("_worker")
        os.kill(worker, signal.SIGKILL)
    finally:
        os.kill(writer, signal.SIGCONT)
    assert held > 0
    wait_for(lambda: worker not in serving.children("_worker") and serving.ready(), 30, "another worker")
    metrics = httpx.get(f"{serving.url}/metrics").text
    counted = dict(re.findall(r"^(lostid_(?:checks|journal_lines)_total{.*}) (\S+)$", metrics, re.M))
    lines = {name: float(value) for name, value in counted.items()}
    lost, written = (lines[f'lostid_journal_lines_total{{outcome="{outcome}"}}'] for outcome in ("lost", "written"))
    assert lost >= held
    assert lost + written == sum(value for name, value in lines.items() if name.startswith("lostid_checks"))


def journal_backend(server: Server) -> int:
    """The process of PostgreSQL that takes the worker's lines."""
    with psycopg.connect(embedded_dsn(server.settings.place)) as conn:
        row = conn.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'lostid-journal'").fetchone()
    assert row is not None
    return int(row[0])


def test_over_its_life(serving: Server) -> None:
    """Stopped in order it ends with 0. Without it keys can still be made, and work after the next start. With other
    secrets, or without one, it refuses to start; with its own it starts again."""
    assert serving.stop() == 0
    made = told(serving.cli("keys", "create", "--org", "inn", "--role", "checker", "--json"))
    assert made["id"] in [key["id"] for key in told(serving.cli("keys", "list", "--json"))["keys"]]

    held = {name: (serving.settings.secrets_path / name).read_text() for name in NAMES}
    pepper = serving.settings.secrets_path / "pepper"
    pepper.write_text("00" * 32 + "\n")
    done = serve(serving)
    assert (done.returncode, done.stdout) == (1, "")
    assert "secrets_differ" in done.stderr
    assert "pepper" in done.stderr
    pepper.unlink()
    done = serve(serving)
    assert (done.returncode, told(done)["error"]["code"]) == (1, "refused")
    assert "restore it from your backup" in told(done)["error"]["detail"]
    pepper.touch(mode=0o600)
    pepper.write_text(held["pepper"])

    serving.start()
    done = serving.cli("check", "cn.passport", "-", "--json", key=made["key"], stdin="E12345678")
    for _ in range(20):
        if done.returncode != 3:  # no answer: a busy machine may miss a renewal
            break
        done = serving.cli("check", "cn.passport", "-", "--json", key=made["key"], stdin="E12345678")
    assert (done.returncode, told(done).get("status")) == (0, "clear"), (done.stdout, serving.said)
    assert {name: (serving.settings.secrets_path / name).read_text() for name in NAMES} == held


def pasted(line: str, env: Mapping[str, str], cwd: Path) -> dict[str, Any]:
    """What a printed line says. Pasted again while there is no answer: a busy machine may miss a renewal."""
    done = subprocess.run(["sh", "-c", line], env=env, cwd=cwd, capture_output=True, text=True)
    for _ in range(20):
        if done.returncode != 3:
            break
        done = subprocess.run(["sh", "-c", line], env=env, cwd=cwd, capture_output=True, text=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_demo(tmp_path: Path) -> None:
    """The lines that `lostid demo` prints work when they are pasted, and nothing of it stays."""
    argv = [sys.executable, "-m", "lostid", "demo", "--port", "0", "--workers", "1", "--reports", "20"]
    env = environment() | {"TMPDIR": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    with subprocess.Popen(argv, env=env, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        lines: list[str] = []
        try:
            while not lines or not lines[-1].startswith("^C"):
                lines.append(demo.stdout.readline())
                assert lines[-1], "it ended"
            checks = [f"{line.strip()} --json" for line in lines if line.startswith("printf")]
            said = [pasted(line, env, tmp_path)["status"] for line in checks]
            assert said == ["reported", "clear", "indeterminate"]
            curls = [shlex.split(line.removesuffix("; echo\n")) for line in lines if line.startswith("curl")]
            assert [curl[2].rpartition("/v1/")[2] for curl in curls] == ["checks", "reports", "checks"]
            exported = dict(
                word.split("=", 1) for line in lines if line.startswith("export") for word in line.split()[1:]
            )
            assert exported.pop("LOSTID_KEY").startswith("lid_live_")
            with Mirror(*exported.values(), max_age_s=60) as mirror:
                assert mirror.wait(30), mirror.state.problem
        finally:
            demo.send_signal(signal.SIGINT)
            code = demo.wait(20)
        assert code == 0
    assert list(tmp_path.iterdir()) == []
