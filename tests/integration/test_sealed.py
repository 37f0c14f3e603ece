"""Sealed answers end to end: real servers pass them on, and nobody but the recipient ever has the outputs."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from cluster import Cluster, running_cluster
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jobs import write_job

from rjs.bundle.seal_testing import make_recipient
from rjs.limits import INLINE_ANSWER

pytestmark = pytest.mark.integration

SCRIPT = """
import hashlib, os, sys
index = os.environ["RJS_TASK_INDEX"]
secret = hashlib.sha256(b"secret " + index.encode()).hexdigest()
name = hashlib.sha256(b"name " + index.encode()).hexdigest()
print(secret)
print(secret, file=sys.stderr)
with open(f"{os.environ['RJS_OUTPUT']}/{name}", "w") as file:
    file.write(secret * (1 if index == "0" else 5000))
sys.exit(int(sys.argv[1]))
"""


def secret(task: int) -> str:
    """What task ``task`` writes and prints."""
    return hashlib.sha256(f"secret {task}".encode()).hexdigest()


def name(task: int) -> str:
    """The name of its file."""
    return hashlib.sha256(f"name {task}".encode()).hexdigest()


@attrs.frozen
class Reader:
    """Somebody whose certificate a job may name."""

    key: Path
    certificate: Path


def make_reader(folder: Path, *, use_rsa: bool) -> Reader:
    party = make_recipient("Reader", rsa.generate_private_key(65537, 2048) if use_rsa else None)
    folder.mkdir()
    reader = Reader(folder / "reader.key", folder / "reader.pem")
    reader.key.write_bytes(party.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    reader.certificate.write_bytes(party.certificate.public_bytes(Encoding.PEM))
    return reader


def write_sealed_job(folder: Path, *readers: Reader, status: int = 0) -> Path:
    """Two tasks, one with an answer that travels along with its offer and one too large for that."""
    job = write_job(folder, SCRIPT, tasks=2, args=[str(status)])
    listed = ", ".join(f"'''\n{reader.certificate.read_text()}'''" for reader in readers)
    toml = (job / "job.toml").read_text().replace("tasks = 2", "tasks = 2\nattempts = 1")
    (job / "job.toml").write_text(f"{toml}\n[answer]\nencrypt = true\nrecipients = [{listed}]\n")
    return job


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("c"), ["cs1", "cs2"]) as made:
        yield made


def holding(cluster: Cluster, *words: str) -> list[Path]:
    """The files of servers, logs included, that hold any of these words."""
    wanted = [word.encode() for word in words]
    files = [path for path in cluster.folder.rglob("*") if path.is_file() and "person-" not in str(path)]
    assert len(files) > 50
    return [path for path in files if any(word in path.read_bytes() for word in wanted)]


def test_only_the_recipients_read_the_outputs(cluster: Cluster, tmp_path: Path) -> None:
    """Each of two readers opens both answers, by rjs and by openssl; no server keeps a byte of them."""
    ada = cluster.ada
    readers = [make_reader(tmp_path / "p256", use_rsa=False), make_reader(tmp_path / "rsa", use_rsa=True)]
    job = ada.place(ada.pack(write_sealed_job(tmp_path / "sealed", *readers)))
    ada.answers(job, tasks=2)
    ada.wait_until(job, "done")
    cluster.quiet()
    for task in range(2):
        answer = ada.ans / job[:16] / f"{task}.jar"
        assert (answer.stat().st_size > INLINE_ANSWER) == (task == 1)
        for reader in readers:
            check_opened(cluster, answer, task, reader, tmp_path)
    assert holding(cluster, secret(0), secret(1), name(0), name(1)) == []
    assert len(holding(cluster, f'"bundle_id": "{job}"')) >= 2, "the search sees what answers hold"


def check_opened(cluster: Cluster, answer: Path, task: int, reader: Reader, folder: Path) -> None:
    into = folder / f"{reader.key.parent.name}-{task}"
    pair: list[str | Path] = ["--key", reader.key, "--certificate", reader.certificate]
    cluster.rjs("open", answer, "--trust", cluster.root, "--into", into, *pair)
    assert (into / "out" / name(task)).read_text().startswith(secret(task))
    assert (into / "stdout.txt").read_text() == (into / "stderr.txt").read_text() == secret(task) + "\n"
    with zipfile.ZipFile(answer) as archive:
        assert {each for each in archive.namelist() if "/" not in each} == {"sealed.cms", "receipt.json"}
        (folder / "sealed.cms").write_bytes(archive.read("sealed.cms"))
    plain = folder / "plain.zip"
    openssl: list[str | Path] = [
        "openssl",
        "cms",
        "-decrypt",
        "-binary",
        "-inform",
        "DER",
        "-in",
        folder / "sealed.cms",
        "-out",
        plain,
    ]
    subprocess.run([*openssl, "-recip", reader.certificate, "-inkey", reader.key], check=True, timeout=30)
    with zipfile.ZipFile(plain) as archive:
        assert archive.read("stdout.txt") == (into / "stdout.txt").read_bytes()


def test_for_oneself_alone(cluster: Cluster, tmp_path: Path) -> None:
    """``rjs submit --encrypt`` and ``rjs open`` need no certificate named, before and after the operator made one."""
    ada, script = cluster.ada, tmp_path / "secret.py"
    script.write_text(SCRIPT.replace("int(sys.argv[1])", "0"))
    job = ada.rjs("submit", script, "--tasks", "2", "--encrypt").stdout.strip()
    ada.answers(job, tasks=2)
    (request,) = ada.folder.rglob("encryption-request.pem")
    cluster.rjs("ca", "issue", cluster.folder / "ca", request)
    for task in range(2):
        answer, into = ada.ans / job[:16] / f"{task}.jar", tmp_path / f"own-{task}"
        ada.rjs("verify", answer, "--answer")
        ada.rjs("open", answer, "--into", into)
        assert (into / "stdout.txt").read_text() == secret(task) + "\n"
    again = ada.rjs("submit", script, "--encrypt").stdout.strip()
    ada.answers(again, tasks=1)
    ada.rjs("open", ada.ans / again[:16] / "0.jar", "--into", tmp_path / "certified")
    assert holding(cluster, secret(0), secret(1), name(0), name(1)) == []


def test_a_flipped_bit_yields_nothing(cluster: Cluster, tmp_path: Path) -> None:
    """Wherever it is in what was sealed, rjs open leaves no folder and no file."""
    ada, reader = cluster.ada, make_reader(tmp_path / "reader", use_rsa=False)
    job = ada.place(ada.pack(write_sealed_job(tmp_path / "flipped", reader)))
    ada.answers(job, tasks=2)
    data = (ada.ans / job[:16] / "1.jar").read_bytes()
    begin = data.index(b"sealed.cms") + 100
    (tmp_path / "into").mkdir()
    pair: list[str | Path] = ["--key", reader.key, "--certificate", reader.certificate]
    for place in (begin, len(data) // 2, begin + 200_000):
        changed = bytearray(data)
        changed[place] ^= 1
        (tmp_path / "changed.jar").write_bytes(changed)
        into: list[str | Path] = ["--trust", cluster.root, "--into", tmp_path / "into" / "folder"]
        ada.rjs("open", tmp_path / "changed.jar", *into, *pair, status=1)
        assert list((tmp_path / "into").iterdir()) == []


def test_a_failed_task_tells_nothing(cluster: Cluster, tmp_path: Path) -> None:
    """What a task with sealed answers wrote before it failed is nowhere; that it is not shown is said."""
    ada, reader = cluster.ada, make_reader(tmp_path / "reader", use_rsa=False)
    bundle = ada.pack(write_sealed_job(tmp_path / "failing", reader, status=3))
    job = ada.place(bundle)
    ada.wait_until(job, "failed")
    cluster.quiet()
    told = ada.told(bundle.name)
    assert "exit status 3" in told and "answers are sealed" in told
    assert holding(cluster, secret(0), secret(1), name(0), name(1)) == []
