"""A submitter needs nothing but scp: a job goes in and its answers come out through the system's own sshd."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from cluster import LOOPBACK, PATIENCE, Cluster, free_port, running_cluster, wait_for
from jnlp_job import ANSWER, NAMES, make_jnlp_job, signing_party
from jobs import band, write_mandelbrot

pytestmark = pytest.mark.integration

SSHD = "/usr/sbin/sshd"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("c"), ["cs1", "cs2"]) as made:
        yield made


@attrs.frozen
class SshServer:
    """A running sshd for the account that runs the tests; keys are pinned on both sides."""

    folder: Path
    port: int

    def scp(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run scp with this server's key alone; an argument ``:PATH`` is a path over there."""
        there = f"{getpass.getuser()}@{LOOPBACK}"
        argv = [f"{there}{each}" if str(each).startswith(":") else str(each) for each in arguments]
        options = {
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": self.folder / "known_hosts",
            "GlobalKnownHostsFile": "none",
            "IdentitiesOnly": "yes",
            "BatchMode": "yes",
        }
        flags = [f"-o{name}={value}" for name, value in options.items()]
        scp = ["scp", "-F", "none", "-P", str(self.port), "-i", str(self.folder / "person"), *flags, *argv]
        return subprocess.run(scp, capture_output=True, text=True, timeout=PATIENCE, check=False)


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """The system's sshd on a port of loopback, ended afterwards."""
    server = SshServer(tmp_path_factory.mktemp("ssh"), free_port())
    for name in ("host", "person"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", server.folder / name], check=True
        )
    host_key = (server.folder / "host.pub").read_text()
    (server.folder / "known_hosts").write_text(f"[{LOOPBACK}]:{server.port} {host_key}")
    (server.folder / "config").write_text(
        f"ListenAddress {LOOPBACK}:{server.port}\nHostKey {server.folder}/host\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {server.folder}/person.pub\nStrictModes no\nPasswordAuthentication no\n"
        "Subsystem sftp internal-sftp\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # privilege separation; a booted system has it
    with (
        (server.folder / "log").open("wb") as log,
        subprocess.Popen([SSHD, "-D", "-e", "-f", server.folder / "config"], stderr=log) as process,
    ):
        try:
            wait_for(lambda: listens(server.port), story=(server.folder / "log").read_text)
            yield server
        finally:
            process.terminate()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def test_scp_is_all_that_it_takes(cluster: Cluster, ssh: SshServer, tmp_path: Path) -> None:
    """A bundle copied into jobs/ becomes a job; its state and its verified answers are copied back."""
    ada = cluster.ada
    bundle = ada.pack(write_mandelbrot(tmp_path / "picture"))
    sent = ssh.scp(bundle, f":{ada.jobs}/picture.jar")
    assert sent.returncode == 0, sent.stderr
    job = ada.accepted("picture.jar")
    ada.answers(job, tasks=8)
    ada.wait_until(job, "done")
    got = ssh.scp("-r", f":{ada.ans}/{job[:16]}", f":{ada.jobs}/picture.jar.status.txt", tmp_path)
    assert got.returncode == 0, got.stderr
    assert (tmp_path / "picture.jar.status.txt").read_text().startswith(f"state: done\njob: {job}\n")
    for task in range(8):
        path = tmp_path / job[:16] / f"{task}.jar"
        cluster.rjs("verify", "--answer", path, "--trust", cluster.root)
        assert cluster.opened(path, job, task).files["out/band.ppm"] == band(task)


def test_many_at_once(cluster: Cluster, ssh: SshServer, tmp_path: Path) -> None:
    """One scp of several bundles makes as many jobs."""
    ada = cluster.ada
    bundles = [ada.pack(write_mandelbrot(tmp_path / f"part{number}", tasks=1)) for number in range(3)]
    sent = ssh.scp(*bundles, f":{ada.jobs}/")
    assert sent.returncode == 0, sent.stderr
    jobs = {ada.accepted(bundle.name) for bundle in bundles}
    assert len(jobs) == 3
    for job in jobs:
        assert ada.answers(job, tasks=1)[0].files["out/band.ppm"] == band(0, 1)


def test_a_jnlp_and_its_jars(cluster: Cluster, ssh: SshServer, tmp_path: Path) -> None:
    """Java's own tools made them, scp copies them where the .jnlp says, one of them late; they run as one job."""
    ada = cluster.ada
    folder = make_jnlp_job(tmp_path / "sums", signing_party(ada.identity))
    first, *others, last = NAMES
    (ada.jobs / "libs" / "windows").mkdir(parents=True)
    for name in (*others, first):
        sent = ssh.scp(folder / name, f":{ada.jobs}/{name}")
        assert sent.returncode == 0, sent.stderr
    told = wait_for(lambda: ada.told("sums.jnlp"), story=cluster.story)
    assert told.startswith("state: waiting\nreason: set-incomplete: ") and last in told, told
    part = "state: part\nof: sums.jnlp\n"
    wait_for(lambda: ada.told("sums.jar").startswith(part), story=lambda: ada.told("sums.jar"))
    assert ssh.scp(folder / last, f":{ada.jobs}/{last}").returncode == 0
    wait_for(lambda: "\njob: " in ada.told("sums.jnlp"), story=cluster.story)
    job = ada.accepted("sums.jnlp")
    assert ada.answers(job, tasks=1)[0].files["out/sum.txt"] == ANSWER
    ada.wait_until(job, "done")
    assert ada.told("sums.jnlp").startswith(f"state: done\njob: {job}\nname: Sums\n")


def test_a_stranger_is_not_let_in(cluster: Cluster, ssh: SshServer, tmp_path: Path) -> None:
    """The test would notice an sshd that lets anybody in, or a client that believes any host."""
    stranger = attrs.evolve(ssh, folder=tmp_path)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "person"], check=True)
    (tmp_path / "known_hosts").write_text((ssh.folder / "known_hosts").read_text())
    assert stranger.scp(tmp_path / "known_hosts", f":{cluster.ada.jobs}/x.jar").returncode != 0
    other = (tmp_path / "person.pub").read_text()
    (tmp_path / "known_hosts").write_text(f"[{LOOPBACK}]:{ssh.port} {other}")
    told = stranger.scp(tmp_path / "known_hosts", f":{cluster.ada.jobs}/x.jar").stderr
    assert "Host key verification failed" in told
