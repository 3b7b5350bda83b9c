"""The operators' page: the front is started, the engines know their settings, all that can be watched has its line."""

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psycopg
import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lostid.engines.valkey import SOCKET
from tests.clients.desks import card
from tests.conftest import Engines
from tests.serving import Server, free_port, run_cli
from tests.waiting import wait_for

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
BLOCKS = dict(re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))


def settings_in(block: str) -> dict[str, str]:
    """Name and value of each line."""
    return dict(re.findall(r"^(\S+)(?: = | )(\S+)$", BLOCKS[block], re.MULTILINE))


def test_every_block_is_known() -> None:
    """Each is run or applied by a test below."""
    assert set(BLOCKS) == {"ini", "conf", "sh", "cfg"}
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


# --- the front -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Front:
    port: int
    process: "subprocess.Popen[bytes]"

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def client(self, key: str = "") -> httpx.Client:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=20, verify=False)  # noqa: S501  our own, just made

    def raw(self, sent: bytes) -> bytes:
        """All that comes back before the connection ends."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["http/1.1"])
        with socket.create_connection(("127.0.0.1", self.port), 20) as plain, context.wrap_socket(plain) as connection:
            connection.sendall(sent)
            received = b""
            while part := connection.recv(65536):
                received += part
            return received


def certificate(path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(made.public_bytes(pem) + private)


@contextmanager
def haproxy(server: Server, folder: Path) -> Iterator[Front]:
    """The page's file, with nothing changed but places, users and how many connections there may be."""
    program = shutil.which("haproxy") or ("/usr/sbin/haproxy" if os.path.exists("/usr/sbin/haproxy") else None)  # noqa: PTH110
    if program is None:
        pytest.skip("no haproxy on this machine: apt-get install haproxy")
    port = free_port()
    certificate(folder / "lostid.pem")
    text = re.sub(r"^    (user|group) haproxy\n", "", BLOCKS["cfg"], flags=re.MULTILINE)
    for old, new in (
        ("/etc/haproxy/lostid.pem", str(folder / "lostid.pem")),
        ("/run/haproxy/admin.sock", str(folder / "admin.sock")),
        ("    maxconn 20000", "    maxconn 200"),  # two descriptors each: more than a test's shell may have
        ("bind :443", f"bind 127.0.0.1:{port}"),
        ("10.0.0.11:8080", f"127.0.0.1:{server.port}"),
        ("10.0.0.12:8080", f"127.0.0.1:{free_port()}"),  # a host that is away
    ):
        assert old in text
        text = text.replace(old, new)
    (folder / "haproxy.cfg").write_text(text)
    checked = subprocess.run(
        [program, "-c", "-f", "haproxy.cfg"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, "WARNING" in checked.stderr) == (0, False), checked.stderr
    process = subprocess.Popen([program, "-db", "-f", "haproxy.cfg"], cwd=folder, stderr=subprocess.DEVNULL)
    front = Front(port, process)
    try:
        wait_for(lambda: answers(front), 30, "the front")
        yield front
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def answers(front: Front) -> bool:
    try:
        with front.client() as client:
            return client.post("/v1/checks").status_code == 401
    except httpx.HTTPError:
        return False


def test_front(server: Server, tmp_path: Path) -> None:
    """Checks and reports go through it, a repeat gets the same answer; what is the operator's stays inside; what might
    be two requests is none; who has begun is answered when it stops."""
    document = card().json()
    police = server.key("reporter", org="front-police", station="st-1", operator="officer-1")
    with haproxy(server, tmp_path) as front:
        with front.client(server.key("checker", org="front-hotel")) as desk, front.client(police) as counter:
            asked = {"document": document, "operator": "desk-1", "purpose": "hotel.check_in"}
            wait_for(lambda: desk.post("/v1/checks", json=asked).status_code == 200, 30, "an answer")
            report = {"document": document, "reason": "lost", "operator": "officer-1", "case_number": "F-1"}
            report["effective_at"] = "2025-01-01"
            headers = {"Idempotency-Key": "front-1"}
            wait_for(lambda: counter.post("/v1/reports", json=report, headers=headers).status_code == 201, 30, "it")
            again = counter.post("/v1/reports", json=report, headers=headers)
            assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")
            assert "strict-transport-security" in again.headers
            wait_for(lambda: desk.post("/v1/checks", json=asked).json().get("status") == "reported", 30, "reported")
            for path in ("/metrics", "/v1/status", "/readyz", "/livez"):
                assert desk.get(path, headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 404
        hidden = b"GET /v1/sandbox/scenarios HTTP/1.1\r\nHost: x\r\n\r\n"
        head = b"POST /v1/checks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        for framing in (
            b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(hidden),
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
            b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        ):
            received = front.raw(head + framing + hidden)
            assert received.count(b"HTTP/1.1 ") == 1
            assert b"scenarios" not in received
        front.process.send_signal(signal.SIGUSR1)
        assert front.process.wait(40) == 0
