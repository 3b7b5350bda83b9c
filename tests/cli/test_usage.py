"""The command line without a server: usage, named refusals, exit codes, JSON."""

import json
import os
import resource
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from lostid import stderr
from lostid.cli import main


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def told(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Done]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process, in an empty directory, with no settings but those given."""
    for name in [name for name in os.environ if name.startswith("LOSTID_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def command(*argv: str, **settings: str) -> Done:
        for name, value in settings.items():
            monkeypatch.setenv(f"LOSTID_{name.upper()}", value)
        monkeypatch.setattr(sys, "argv", ["lostid", *argv])
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        return Done(code if isinstance(code, int) else 0, *capsys.readouterr())

    return command


def test_version(run: Run) -> None:
    """The version, for people and for programs."""
    assert run("version").out.startswith("lostid ")
    assert set(run("version", "--json").told) == {"version"}


@pytest.mark.parametrize(
    "argv",
    [
        ("nonsense",),
        ("check", "cn.resident-id"),
        ("keys", "create", "--org", "o"),
        ("keys", "create", "--org", "O", "--role", "checker"),
        ("keys", "create", "--org", "x440524188001010014", "--role", "checker"),
        ("keys", "create", "--org", "o", "--role", "king"),
        ("keys", "create", "--org", "o", "--role", "reporter"),
        ("keys", "create", "--org", "o", "--role", "checker", "--purpose", "fun"),
        ("keys", "create", "--org", "o", "--role", "reporter", "--station", "s", "--operator", "p", "--reason", "x"),
        ("keys", "create", "--org", "o", "--role", "checker", "--rate", "0"),
        ("serve", "--workers", "0"),
        ("serve", "--port", "65536"),
    ],
)
def test_usage(argv: tuple[str, ...], run: Run, tmp_path: Path) -> None:
    """What makes no sense ends with exit code 2 and words, before anything is touched."""
    done = run(*argv)
    assert (done.code, done.out) == (2, "")
    assert done.err
    assert list(tmp_path.iterdir()) == []


def test_wrong_setting(run: Run) -> None:
    """A wrong setting is named, and its value is not shown."""
    done = run("serve", "--json", timezone="Mars/Olympus")
    assert done.code == 2
    assert "LOSTID_TIMEZONE" in done.told["error"]["detail"]
    assert "Olympus" not in done.out


@pytest.mark.parametrize(
    ("argv", "settings", "code", "exit_code"),
    [
        ((), {"data_dir": "/proc/none/data"}, "refused", 1),
        (("--host", "::1%none"), {}, "cannot_listen", 2),
        (("--host", "a" * 64 + ".invalid"), {}, "cannot_listen", 2),
    ],
)
def test_cannot_start(
    argv: tuple[str, ...],
    settings: dict[str, str],
    code: str,
    exit_code: int,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where it cannot live or listen a server says so in a sentence."""
    monkeypatch.setattr(stderr, "never_wait", lambda: None)  # this process keeps its standard error
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))
    done = run("serve", *argv, "--json", **settings)
    assert (done.code, done.told["error"]["code"]) == (exit_code, code)
    assert resource.getrlimit(resource.RLIMIT_CORE)[0] == 0  # and no process of a server leaves its memory in a file


def test_no_ledger(run: Run, tmp_path: Path) -> None:
    """Keys belong to a ledger: where there is none yet, none is made by the way."""
    done = run("keys", "list", "--json")
    assert (done.code, done.told["error"]["code"]) == (2, "no_ledger")
    assert list(tmp_path.iterdir()) == []


def test_ledger_away(run: Run) -> None:
    """A ledger that does not answer is exit code 3, and its password is not shown."""
    done = run("keys", "list", database_url="postgresql://me:hush@127.0.0.1:1/none")
    assert (done.code, done.out) == (3, "")
    assert "hush" not in done.err


def test_no_key(run: Run) -> None:
    """A check without an API key says what to set."""
    done = run("check", "cn.passport", "E12345678")
    assert done.code == 2
    assert "LOSTID_KEY" in done.err


def test_unreachable(run: Run) -> None:
    """No server: exit code 3, and the number is not repeated."""
    done = run("check", "cn.passport", "E12345678", "--json", url="http://127.0.0.1:1", key="lid_live_x")
    assert (done.code, done.told["error"]["code"]) == (3, "unreachable")
    assert "E12345678" not in done.out + done.err


@pytest.mark.parametrize("key", ["lid_live_x\n", "lid_live_\u00e9"])
def test_no_such_key(run: Run, key: str) -> None:
    """What cannot be a key is not sent, and not shown."""
    done = run("check", "cn.passport", "E12345678", "--json", key=key, url="http://127.0.0.1:1")
    assert (done.code, done.told["error"]["code"]) == (2, "key_unknown")
    assert "lid_live_" not in done.out + done.err


@pytest.mark.parametrize("url", ["http://[::1", "ftp://127.0.0.1", "127.0.0.1:8080", "http://"])
def test_no_such_url(run: Run, url: str) -> None:
    """Neither is an address that is none asked."""
    done = run("check", "cn.passport", "E12345678", "--json", key="lid_live_x", url=url)
    assert (done.code, done.told["error"]["code"]) == (2, "usage")


def test_somebody_else_answers(run: Run) -> None:
    """A page that comes with 200 is no answer."""

    class Portal(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>Welcome to our hotel")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Portal) as portal:
        threading.Thread(target=portal.handle_request, daemon=True).start()
        url = f"http://127.0.0.1:{portal.server_port}"
        done = run("check", "cn.passport", "E12345678", "--json", key="lid_live_x", url=url)
    assert (done.code, done.told["error"]["code"]) == (3, "http_200")


def test_no_text(run: Run) -> None:
    """Bytes that are no text go as a character that no number holds."""
    assert run("check", "cn.passport", "E1234\udcff678", "--json", key="lid_live_x", url="http://127.0.0.1:1").code == 3


def test_dotenv(run: Run, tmp_path: Path) -> None:
    """URL and key may stand in `.env`."""
    (tmp_path / ".env").write_text("LOSTID_URL=http://127.0.0.1:1\nLOSTID_KEY=lid_live_x\n")
    done = run("check", "cn.passport", "E12345678", "--json")
    assert done.told["error"]["code"] == "unreachable"
    assert "127.0.0.1:1" in done.told["error"]["detail"]


def test_doctor(run: Run, tmp_path: Path) -> None:
    """On a machine that can run the server doctor finds nothing bad, names what is odd, and makes nothing."""
    done = run("doctor", "--json", wrokers="3")
    states = {entry["check"]: entry["state"] for entry in done.told["checks"]}
    assert done.code == 0
    assert states["python"] == states["PostgreSQL"] == states["Valkey"] == "ok"
    assert "LOSTID_WROKERS" in done.out
    assert list(tmp_path.iterdir()) == []
    assert "python" in run("doctor").out


def test_doctor_finds(run: Run) -> None:
    """A setting that keeps a server from starting is bad, and exit code 1."""
    done = run("doctor", "--json", port="many")
    assert done.code == 1
    assert [entry["check"] for entry in done.told["checks"] if entry["state"] == "bad"] == ["settings"]
