"""The front that operators are recommended (docs/haproxy.cfg), before a server, with TLS and whole."""

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
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from overload import front
from tests.clients.desks import NEW, card
from tests.docs.fronting import started
from tests.serving import Server, free_port
from tests.waiting import wait_for


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
    """The file with nothing changed but places, users and how many connections there may be."""
    port = free_port()
    certificate(folder / "lostid.pem")
    changes = {
        "/etc/haproxy/lostid.pem": str(folder / "lostid.pem"),
        "    maxconn 20000": "    maxconn 200",  # two descriptors each: more than a test's shell may have
        "bind :443": f"bind 127.0.0.1:{port}",
        "10.0.0.11:8080": f"127.0.0.1:{server.port}",
        "10.0.0.12:8080": f"127.0.0.1:{free_port()}",  # a host that is away
    }
    with started(front.changed(changes, folder), folder) as process:
        found = Front(port, process)
        wait_for(lambda: answers(found), 30, "the front")
        yield found


def answers(found: Front) -> bool:
    try:
        with found.client() as client:
            return client.post("/v1/checks").status_code == 401
    except httpx.HTTPError:
        return False


def test_front(server: Server, tmp_path: Path) -> None:
    """Checks and reports go through it, a repeat gets the same answer; what is the operator's stays inside; what might
    be two requests is none; who has begun is answered when it stops."""
    document = card().json()
    police = server.key("reporter", org="front-police", station="st-1", operator="officer-1")
    with haproxy(server, tmp_path) as found:
        with found.client(server.key("checker", org="front-hotel")) as desk, found.client(police) as counter:
            asked_by = {"operator": "desk-1", "purpose": "hotel.check_in"}
            asked = {"document": document, **asked_by}
            wait_for(lambda: desk.post("/v1/checks", json=asked).status_code == 200, 30, "an answer")
            report = {"document": document, "reason": "lost", "operator": "officer-1", "case_number": "F-1"}
            report["effective_at"] = "2025-01-01"
            headers = {"Idempotency-Key": "front-1"}
            wait_for(lambda: counter.post("/v1/reports", json=report, headers=headers).status_code == 201, 30, "it")
            again = counter.post("/v1/reports", json=report, headers=headers)
            assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")
            assert "strict-transport-security" in again.headers
            wait_for(lambda: desk.post("/v1/checks", json=asked).json().get("status") == "reported", 30, "reported")
            # Newer cards than any that another test reported: its imports draw their numbers by chance.
            everybody = [{"document": card(NEW).json()} for _ in range(499)] + [{"document": document}]
            batch = desk.post("/v1/checks/batch", json={**asked_by, "checks": everybody})  # more than the front keeps
            statuses = [result["status"] for result in batch.json()["results"]]
            assert (batch.status_code, statuses) == (200, ["clear"] * 499 + ["reported"])
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
            received = found.raw(head + framing + hidden)
            assert received.count(b"HTTP/1.1 ") == 1
            assert b"scenarios" not in received
        found.process.send_signal(signal.SIGUSR1)
        assert found.process.wait(40) == 0
