"""sslyze, a scanner of TLS servers, against every port of a running cluster: without a certificate and with one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from cluster import LOOPBACK, PATIENCE, Cluster, running_cluster
from strangers import frame, hello

pytestmark = pytest.mark.integration

SSLYZE = Path(sys.prefix, "sslyze", "bin", "sslyze")
"""In an environment of its own, which the Makefile makes: it wants an older ``cryptography`` than ours."""

OLD = ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2"]
QUESTIONS = [
    "--sslv2", "--sslv3", "--tlsv1", "--tlsv1_1", "--tlsv1_2", "--tlsv1_3", "--reneg", "--resum", "--compression",
    "--elliptic_curves", "--heartbleed", "--openssl_ccs",
]  # fmt: skip
AEAD = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
CURVES = {"X25519", "X448", "secp256r1", "secp384r1", "secp521r1"}
DOORS = ["ws", "lus", "cs1"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("c"), ["cs1"]) as made:
        yield made


def scanned(cluster: Cluster, door: str, folder: Path, options: Sequence[str | Path] = ()) -> dict[str, Any]:
    """The scanner's document on the port of one server."""
    assert SSLYZE.exists(), f"{SSLYZE} is missing: make {SSLYZE.relative_to(Path(sys.prefix).parent)}"
    out = folder / "scan.json"
    target = f"{LOOPBACK}:{cluster[door].document()['port']}"
    argv = [SSLYZE, "--mozilla_config", "disable", "--quiet", *QUESTIONS, *options, "--json_out", out, target]
    subprocess.run(argv, check=True, timeout=PATIENCE, capture_output=True)
    [result] = json.loads(out.read_text())["server_scan_results"]
    assert result["connectivity_error_trace"] is None
    found: dict[str, Any] = result
    return found


def finding(scan: dict[str, Any], question: str) -> dict[str, Any]:
    """The answer to one of the questions, which must have been asked and answered."""
    answer = scan["scan_result"][question]
    assert answer["status"] == "COMPLETED", answer
    found: dict[str, Any] = answer["result"]
    return found


@pytest.mark.parametrize("door", DOORS)
def test_what_a_scanner_without_a_certificate_finds(cluster: Cluster, door: str, tmp_path: Path) -> None:
    """TLS 1.3 with its three AEAD suites and sound curves, nothing older, and no way in without a certificate."""
    scan = scanned(cluster, door, tmp_path)
    assert scan["connectivity_result"]["client_auth_requirement"] == "REQUIRED"
    assert scan["connectivity_result"]["highest_tls_version_supported"] == "TLS_1_3"
    for version in OLD:
        assert finding(scan, f"{version}_cipher_suites")["is_tls_version_supported"] is False
    suites = finding(scan, "tls_1_3_cipher_suites")["accepted_cipher_suites"]
    assert {each["cipher_suite"]["name"] for each in suites} == AEAD
    assert {each["name"] for each in finding(scan, "elliptic_curves")["supported_curves"]} <= CURVES
    assert not finding(scan, "tls_compression")["supports_compression"]
    assert not finding(scan, "heartbleed")["is_vulnerable_to_heartbleed"]
    assert not finding(scan, "openssl_ccs_injection")["is_vulnerable_to_ccs_injection"]
    renegotiation = finding(scan, "session_renegotiation")
    assert renegotiation["client_renegotiations_success_count"] == 0


@pytest.mark.parametrize("door", DOORS)
def test_no_ticket_is_of_any_use(cluster: Cluster, door: str, tmp_path: Path) -> None:
    """A member's OpenSSL client is offered no early data, and the session that it kept resumes nothing."""
    token = next(cluster["lus"].folder.glob("clusters/*/identity/token.pem"))
    target = f"{LOOPBACK}:{cluster[door].document()['port']}"
    argv: list[str | Path] = ["openssl", "s_client", "-connect", target, "-nocommands", "-ign_eof"]
    argv += ["-cert", token, "-cert_chain", token, "-key", token]
    kept = tmp_path / "session.pem"
    for option in ("-sess_out", "-sess_in"):
        told = said([*argv, option, kept])
        assert "\nNew, TLSv1.3, Cipher is TLS_" in told and "\nReused, " not in told
        assert set(re.findall(r"Max Early Data: (\d+)", told)) == {"0"}
    assert b"BEGIN SSL SESSION" in kept.read_bytes()


def said(argv: Sequence[str | Path]) -> str:
    """What a command printed until the server, which no hello of a nobody pleases, ended it."""
    nobody = frame(hello("rjs://nobody/"))
    done = subprocess.run(argv, input=nobody, capture_output=True, timeout=PATIENCE, check=False)
    return done.stdout.decode(errors="replace")
