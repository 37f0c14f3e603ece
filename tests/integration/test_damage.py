"""What a disk spoils: set aside and told by a compute server, and never served by a web server."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import PATIENCE, RJS, Cluster, Server, running_cluster, wait_for
from jobs import Gate, write_job

from rjs.limits import LUS_LEASE

pytestmark = pytest.mark.integration

GATED = """
import os, sys, time
from pathlib import Path

gate = Path(sys.argv[1])
(gate / f"0.{os.getpid()}").touch()
while not (gate / "open").exists():
    time.sleep(0.02)
print("well done")
"""


TOLD = "the web server's copy of it is damaged (its bytes are not those that were accepted): cancel the job"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("c"), ["cs1"]) as made:
        yield made


def inside(server: Server) -> Path:
    """The folder of the one cluster."""
    return next((server.folder / "clusters").iterdir())


def spoil(path: Path, at: int) -> None:
    """Another byte in the place of one."""
    data = path.read_bytes()
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


def test_a_damaged_answer_and_a_damaged_ledger(cluster: Cluster, tmp_path: Path) -> None:
    """An answer that waited, and the ledger, are spoiled while the CS is off: both are set aside and told, and the
    task is done again at once, long before its lease would end."""
    cs, lus, gate = cluster["cs1"], cluster["lus"], Gate(tmp_path / "gate")
    folder = write_job(tmp_path / "waits", GATED, args=[str(gate.folder)])
    job = cluster.ada.place(cluster.ada.pack(folder))
    gate.wait_for_arrivals(1)
    lus.stop()
    gate.open()
    wait_for(lambda: cs.document()["answers_waiting"] == 1, story=cs.tail)
    cs.kill()
    (answer,) = (inside(cs) / "spool").glob("*.jar")
    spoil(answer, answer.stat().st_size // 2)
    for side in ("", "-wal"):  # it was killed: what it did last is in the second
        (inside(cs) / f"ledger.sqlite{side}").write_bytes(b"\xff" * 8192)
    began = time.monotonic()
    lus.start()
    cs.start()
    cluster.ada.answers(job, 1)
    assert time.monotonic() - began < LUS_LEASE / 2
    assert len(gate.arrivals()) == 2
    told = {each["what"]: each["why"] for each in cs.document()["quarantine"]}
    assert told.keys() >= {"ledger.sqlite", f"answer of task 0 of job {job[:16]}"}
    assert "is damaged: " in told["ledger.sqlite"] and "could be started here again" in told["ledger.sqlite"]
    shown = cluster.rjs("cs", "status", cs.folder).stdout
    assert "set aside as damaged, in clusters/" in shown and all(what in shown for what in told)
    assert cs.log.read_text().count("set aside as damaged: ") == len(told)


def test_the_web_server_s_spoiled_bundle(cluster: Cluster, tmp_path: Path) -> None:
    """A bundle that the WS itself holds spoiled reaches nobody: the job says so, and is not sent again and again."""
    cs = cluster["cs1"]
    cs.stop()
    job = cluster.ada.place(cluster.ada.pack(write_job(tmp_path / "spoiled", "print(1)")))
    bundle = inside(cluster["ws"]) / "bundles" / f"{job}.jar"
    spoil(bundle, bundle.stat().st_size // 2)
    cs.start()
    wait_for(lambda: TOLD in cluster.ada.rjs("why", job).stdout, story=cluster.story)
    cluster.ada.rjs("cancel", job)


def test_the_web_server_s_damaged_journal(cluster: Cluster) -> None:
    """Nothing takes its place unasked: the WS does not start, and names the command."""
    ws = cluster["ws"]
    ws.stop()
    path = inside(ws) / "ws.sqlite"
    spoil(path, 0)
    kept = path.read_bytes()
    done = subprocess.run(
        [RJS, "ws", "run", ws.folder], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"{path} is damaged: " in done.stderr
    assert f"restore a backup: rjs ws restore {ws.folder} BACKUP" in done.stderr
    assert path.read_bytes() == kept and not (inside(ws) / "quarantine").exists()
    spoil(path, 0)
    ws.start()
