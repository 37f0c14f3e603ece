"""A job without a network reaches what it was granted, through its proxy, with the clients that people use."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from netns import Lan

pytestmark = pytest.mark.integration

HELPER = Path(__file__).with_name("network_cell.py")
PUBLIC = "93.184.215.14"
"""An address of the Internet, which the data server has on this LAN."""

SERVER = """
import http.server, ssl, sys, threading
class Data(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = f"{self.command} {self.path} for {self.headers['Host']} from {self.client_address[0]}\\n".encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body[::-1])
    def log_message(self, *words):
        pass
plain = http.server.ThreadingHTTPServer(("", 8080), Data)
tls = http.server.ThreadingHTTPServer(("", 8443), Data)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
tls.socket = context.wrap_socket(tls.socket, server_side=True)
threading.Thread(target=tls.serve_forever, daemon=True).start()
print("ready", flush=True)
plain.serve_forever()
"""
JAVA = """
import java.io.*; import java.net.*;
public class Fetch {
    public static void main(String[] arguments) throws IOException {
        new URL(arguments[0]).openStream().transferTo(System.out);
    }
}
"""
URLLIB = "import sys, urllib.request as r; sys.stdout.write(r.urlopen(sys.argv[1]).read().decode())"
DIRECT = "import socket, sys; socket.create_connection((sys.argv[1], 8080), 5)"

Run = Callable[..., dict[str, Any]]


def certificate(folder: Path) -> None:
    """A server certificate for data.example.org that signs itself, with its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "data.example.org")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("data.example.org")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    (folder / "certificate.pem").write_bytes(made.public_bytes(encoding))
    secret = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(secret)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("network")
    certificate(made)
    (made / "Fetch.java").write_text(JAVA)
    return made


@pytest.fixture(scope="module")
def run(folder: Path) -> Iterator[Run]:
    """Runs a client in a cell of the compute server's machine; the data server is another one's."""
    with Lan(["cs", "data"]) as lan:
        lan.run("data", ["ip", "address", "add", f"{PUBLIC}/32", "dev", "lo"], check=True)
        lan.run("cs", ["ip", "route", "add", f"{PUBLIC}/32", "via", lan.address("data")], check=True)
        for host in ("data", "cs"):  # what the compute server's own machine serves is for its owner
            files = [folder / "certificate.pem", folder / "key.pem"]
            server = lan.popen(host, [sys.executable, "-c", SERVER, *files], stdout=subprocess.PIPE)
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n"
        names = {
            "data.example.org": PUBLIC, "nas.example.org": lan.address("data"), "own.example.org": lan.address("cs"),
            "loop.example.org": "127.0.0.1",
        }  # fmt: skip
        hosts = folder / "hosts"
        hosts.write_text("".join(f"{address} {name}\n" for name, address in names.items()))
        mounted = f'mount --bind {hosts} /etc/hosts && exec "$@"'

        def play(
            *command: str | Path, places: tuple[str, ...], private: tuple[str, ...] = (), most: int = 1 << 20
        ) -> dict[str, Any]:
            settings = json.dumps({"places": places, "private": private, "most": most})
            argv = [
                "unshare",
                "--mount",
                "sh",
                "-c",
                mounted,
                "sh",
                sys.executable,
                HELPER,
                settings,
                *command,
            ]
            done = lan.run("cs", argv, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stderr
            found: dict[str, Any] = json.loads(done.stdout)
            return found

        yield play


@pytest.mark.parametrize("client", ["curl", "wget", "urllib", "java"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_clients_reach_a_granted_place(run: Run, folder: Path, client: str, scheme: str) -> None:
    """Told by variables, or Java by properties: plain HTTP is forwarded, and TLS ends at the place alone."""
    place = f"data.example.org:{8080 if scheme == 'http' else 8443}"
    pem, url = folder / "certificate.pem", f"{scheme}://{place}/a?b"
    python = [sys.executable, "-c", URLLIB, url]
    commands: dict[str, list[str | Path]] = {
        "curl": ["curl", "-sS", "--max-time", "20", "--cacert", pem, url],
        "wget": ["wget", "-q", "-O", "-", f"--ca-certificate={pem}", url],
        "urllib": ["env", f"SSL_CERT_FILE={pem}", *python],
        "java": ["java", folder / "Fetch.java", url],
    }
    if client == "java" and scheme == "https":
        trust(folder)
        commands["java"].insert(1, f"-Djavax.net.ssl.trustStore={folder / 'trust.p12'}")
        commands["java"].insert(2, "-Djavax.net.ssl.trustStorePassword=changeit")
    told = run(*commands[client], places=(place,))
    assert told["out"] == f"GET /a?b for {place} from 10.77.0.1\n", told
    assert told["facts"]["places"][place]["connections"] == 1


def trust(folder: Path) -> None:
    """Java's store of the certificates that it trusts."""
    if not (folder / "trust.p12").exists():
        subprocess.run(
            ["keytool", "-importcert", "-noprompt", "-file", folder / "certificate.pem", "-storetype", "PKCS12",
             "-keystore", folder / "trust.p12", "-storepass", "changeit"],
            check=True, capture_output=True,
        )  # fmt: skip


def test_a_body_goes_through(run: Run, folder: Path) -> None:
    """As curl sends it, with its length."""
    (folder / "body").write_bytes(b"abc" * 100_000)
    url = "http://data.example.org:8080/"
    told = run("curl", "-sS", "--data-binary", f"@{folder / 'body'}", url, places=("data.example.org:8080",))
    assert told["out"] == "cba" * 100_000


@pytest.mark.parametrize(
    "address", [PUBLIC, "10.77.0.2", "10.77.0.1", "8.8.8.8", "data.example.org", "fd77::2"]
)
def test_nothing_is_reached_without_the_proxy(run: Run, address: str) -> None:
    """Granted or not: there is no way but one."""
    told = run(sys.executable, "-c", DIRECT, address, places=("data.example.org:8080", f"{PUBLIC}:8080"))
    assert told["status"] == 1
    assert "Network is unreachable" in told["err"]
    assert told["facts"]["used"] == 0


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://data.example.org:8081/", "is no place that this job asked for"),
        (f"http://{PUBLIC}:8080/", "is no place that this job asked for"),
        ("http://nas.example.org:8080/", "a private address or a neighbour"),
        ("http://own.example.org:8080/", "the machine that runs the job"),
        ("http://loop.example.org:8080/", "the machine that runs the job"),
    ],
)
def test_what_was_not_granted_is_not_reached(run: Run, url: str, reason: str) -> None:
    """Nor the owner's machine and network through a name that was: the client shows why."""
    places = tuple(f"{name}.example.org:8080" for name in ("data", "nas", "own", "loop"))
    told = run("curl", "-sS", url, places=places)
    assert reason in told["out"]
    assert told["facts"]["used"] == 0


def test_a_private_place_is_reached_where_it_was_granted_as_such(run: Run) -> None:
    """By its name, or by its address."""
    named, address = "nas.example.org:8080", "10.77.0.2:8080"
    assert (
        "for nas.example.org:8080"
        in run("curl", "-sS", f"http://{named}/", places=(named,), private=(named,))["out"]
    )
    assert "for 10.77.0.2:8080" in run("curl", "-sS", f"http://{address}/", places=(address,))["out"]


def test_the_bound_holds(run: Run) -> None:
    """Of what comes back, too: the client sees its connection end."""
    url = "http://data.example.org:8080/" + "a" * 3000
    told = run("curl", "-sS", url, places=("data.example.org:8080",), most=5000)
    assert told["status"] != 0
    assert told["facts"]["used"] == 5000
